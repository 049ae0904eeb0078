package engine

import (
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Settings are the settings of an engine. Configure changes them while it runs.
type Settings struct {
	// Limits are put in force in the store, for all processes that use it.
	Limits store.Limits

	// LocalTTL is how long an entry stays fresh in the local tier; 0 switches
	// the tier off.
	LocalTTL time.Duration
	// LocalMaxBytes bounds the memory of the local tier: keys, values, the results of
	// Prepare, and the tier's own cost for each entry.
	LocalMaxBytes int64
	// UnsubscribedTTL replaces a longer LocalTTL while the subscription to the
	// changes of other processes is not known to work.
	UnsubscribedTTL time.Duration
	// StaleIfError is how long after its LocalTTL an entry may still answer a Get
	// while the store fails.
	StaleIfError time.Duration

	// RankLocalHits makes local hits count for the store's eviction policy. The engine
	// sends their number for each key about once a second.
	RankLocalHits bool

	// MaxQueueJobs and MaxQueueBytes bound the writes that are not answered yet, by
	// number and by bytes of keys, values, content types and conditions.
	// MaxQueueBytes must have room for the largest key and value. A lower bound drops
	// no write that already waits.
	MaxQueueJobs  int
	MaxQueueBytes int64

	// Durability is what the store must do with writes before they are answered, within
	// Timeout.
	Durability store.Durability

	// Timeout bounds every call from its arrival. It covers waiting and all tries.
	Timeout time.Duration
	// DrainTimeout bounds how long Close waits for queued writes.
	DrainTimeout time.Duration
}

// Options are fixed when an engine is made.
type Options struct {
	Logger *zap.Logger

	// Namespace is the name of the store in traces.
	Namespace string

	// Prepare, if set, is called once for each fetched entry, before any call gets the
	// entry. Its first result becomes Entry.Prepared; size is the memory in bytes of this
	// and the value. Prepare may replace e.Data with equal bytes that it holds already.
	Prepare func(key string, e *store.Entry) (prepared any, size int)
}

// Entry is an entry as the engine returns it. Callers share it, and must not change it.
type Entry struct {
	store.Entry
	// Prepared is what Options.Prepare returned.
	Prepared any
}

// Read says how a Get may be answered.
type Read struct {
	// NoCache skips the local tier, and joins only fetches that were not sent before
	// the call. The answer is linearizable with writes.
	NoCache bool
	// LocalOnly never asks the store.
	LocalOnly bool
}

// Source says where an answer comes from.
type Source byte

const (
	// Store is an answer of the store. It may say that the key is absent.
	Store Source = iota
	// Local is an answer of the local tier.
	Local
)

// Answer is the answer to a Get.
type Answer struct {
	Entry  *Entry // nil: the key is absent
	Source Source
	// TTL is how much longer a local entry is fresh.
	TTL time.Duration
	// Life is how much longer the entry lives, if it expires; 0 if it does not.
	Life time.Duration
	// StaleIfError says that the store failed, and a stale local entry answers. TTL is
	// then not positive.
	StaleIfError bool
	// WasStale says that the local tier held a stale entry, and the store answered.
	WasStale bool
	// Stored says that the local tier kept the entry that was fetched.
	Stored bool
}
