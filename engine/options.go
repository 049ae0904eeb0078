package engine

import (
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Settings may change while an engine runs, through Configure.
type Settings struct {
	// Limits are put in force in the store, for all who use it.
	Limits store.Limits

	// LocalTTL is how long an entry stays fresh in the local tier; 0 switches
	// the tier off.
	LocalTTL time.Duration
	// LocalMaxBytes bounds the local tier: keys, values, what Prepare made of
	// them, and the tier's own cost of an entry.
	LocalMaxBytes int64
	// UnsubscribedTTL replaces a longer LocalTTL while it is not known that
	// this process learns of changes that others make.
	UnsubscribedTTL time.Duration
	// StaleIfError is for how long after its LocalTTL an entry may answer a
	// Get while the store fails.
	StaleIfError time.Duration

	// RankLocalHits tells the store's eviction policy also of answers of the
	// local tier: how many each key had, about once a second.
	RankLocalHits bool

	// MaxQueueJobs and MaxQueueBytes bound the writes that are not answered
	// yet, in number and in bytes of keys, values, content types and conditions.
	// MaxQueueBytes must have room for the largest key and value. A lowered bound
	// drops nothing.
	MaxQueueJobs  int
	MaxQueueBytes int64

	// Timeout bounds every call from its arrival: waiting and all tries.
	Timeout time.Duration
	// DrainTimeout bounds Close.
	DrainTimeout time.Duration
}

// Options are fixed when an engine is made.
type Options struct {
	Logger *zap.Logger

	// Namespace is what traces call the store.
	Namespace string

	// Prepare, if set, is called once for each entry that is fetched, before
	// anyone else sees it. What it returns becomes Entry.Prepared, and size is
	// counted as the bytes that it needs beside the value. It may replace e.Data
	// with equal bytes that it holds already.
	Prepare func(key string, e *store.Entry) (prepared any, size int)
}

// Entry is an entry as the engine hands it out. It is shared: nobody may
// change it.
type Entry struct {
	store.Entry
	// Prepared is what Options.Prepare returned.
	Prepared any
}

// Read says how a Get may be answered.
type Read struct {
	// NoCache skips the local tier, and joins only fetches that were not
	// sent when the call arrived: the answer is linearizable with writes.
	NoCache bool
	// LocalOnly never asks the store.
	LocalOnly bool
}

// Source says where an answer comes from.
type Source byte

const (
	// Store is an answer of the store, also that the key is absent.
	Store Source = iota
	// Local is an answer of the local tier.
	Local
)

// Answer is what Get found.
type Answer struct {
	Entry  *Entry // nil: the key is absent
	Source Source
	// TTL is how much longer a local entry is fresh.
	TTL time.Duration
	// StaleIfError says that a local entry answers though it is no longer
	// fresh, since the store failed; TTL is then not positive.
	StaleIfError bool
	// WasStale says that the local tier held an entry that was no longer
	// fresh, so that the store was asked.
	WasStale bool
	// Stored says that the local tier kept the entry that was fetched.
	Stored bool
}
