// Package store is the interface between the engine and the place where entries live.
// The packages redisstore and memstore implement it. The suite in storetest checks that
// both behave the same.
package store

import (
	"context"
	"errors"
	"math"
	"time"
)

// MaxFetchBytes is the most bytes of values that a Fetch should ask for. An answer is
// held in memory, and other calls to the store wait while it is made.
const MaxFetchBytes = 4 << 20

// MaxBatch is the largest number of keys in one Fetch, and of writes in one Apply.
const MaxBatch = 1000

// MaxTTL is the longest time after which an entry can expire: 100 years.
const MaxTTL = 100 * 365 * 24 * time.Hour

// TrimStep is the most entries that an Apply evicts to meet a lowered limit. It removes as
// many expired entries, or one for each new entry if those are more. The bound keeps a call
// from delaying others for long.
const TrimStep = 200

var (
	// ErrUnavailable says that the call failed and changed nothing.
	ErrUnavailable = errors.New("store unavailable")

	// ErrRefused is an ErrUnavailable that the store itself gave as its answer.
	// Repeating the call helps only once the reason is mended.
	ErrRefused error = refusedError{}

	// ErrFateUnknown says that a call was sent and no answer came in time. The store
	// may have applied it.
	ErrFateUnknown = errors.New("no answer from the store")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store closed")
)

type refusedError struct{}

func (refusedError) Error() string { return "the store refuses" }

func (refusedError) Unwrap() error { return ErrUnavailable }

// Store keeps a bounded set of entries in eviction order. Its methods may be called from
// any number of goroutines. Each call is atomic.
//
// The deadline of ctx bounds a call with all its tries. Errors wrap ErrUnavailable,
// ErrFateUnknown or ErrClosed.
type Store interface {
	// Fetch reads the entries of keys, at most MaxBatch. An entry that has expired is absent;
	// Fetch does not remove it. It tells the eviction policy of
	// each entry found, once; after a fault on the way, at most once. If the store can
	// read but not write, Fetch still returns the entries, and Fetched.LostRaises counts
	// the uses that the policy was not told of.
	//
	// Fetch goes through the keys in order while room has room for the values, and
	// returns the entries of those keys only. The policy is not told of the other keys.
	//
	// Before that, it tells the policy of uses: local hits since the last call. There are
	// at most MaxBatch, each with another key. Absent keys are skipped.
	Fetch(ctx context.Context, keys []string, room Room, uses ...Use) (Fetched, error)

	// Apply runs the writes of a batch, at most MaxBatch, one after another. It evicts
	// entries as the writes and the limits demand. If the error wraps ErrUnavailable,
	// nothing happened. If it wraps ErrFateUnknown, all or nothing happened, or a part if
	// the store stopped half-way; later batches then repair it.
	//
	// A batch without writes is useful too. It sets limits, and takes one bounded step
	// in removing expired entries, towards a lowered limit, or in converting the order for
	// another policy (see Applied.Due, Over and Converting).
	Apply(ctx context.Context, b Batch) (Applied, error)

	// Size reads how full the store is. Like Page, Look and Scan, it changes nothing,
	// tells the eviction policy nothing, and works on a read-only store.
	Size(ctx context.Context) (Size, error)
	// Page lists up to n entries behind after; n is at most MaxBatch.
	Page(ctx context.Context, after Cursor, n int, order Order) (Page, error)
	// Look reads one entry and its place. It returns nil for an absent key.
	Look(ctx context.Context, key string) (*Listed, error)
	// Scan takes one bounded step of a pass over all keys. It returns at most n keys, no more
	// than MaxBatch, that begin with prefix, and where the next step begins. The first step
	// begins with "", and the last one returns "". A step may return no key and not be the
	// last. A pass returns each key that exists all the while at least once, perhaps twice.
	//
	// Each process of a server has an order of its own. If after is of another one than now
	// has the keys, or of no Scan, Scan returns ErrCursor, and the pass must begin again.
	Scan(ctx context.Context, prefix, after string, n int) (keys []string, next string, err error)

	// Probe tries the commands of Fetch, and those of Apply for batches with a Durability.
	// It changes nothing, even in an empty namespace.
	Probe(ctx context.Context, d Durability) Health

	// Close ends the store and everything it started.
	Close() error
}

// Health says why a store cannot read or write now; nil where it can. A store that
// cannot read cannot write either.
type Health struct {
	Reads, Writes error
}

// Watchable is a Store that other processes may write to.
type Watchable interface {
	Store

	// Watch reports every change of the store to o until ctx ends. It subscribes again
	// after each lost connection. It calls o from one goroutine.
	Watch(ctx context.Context, o Observer)
}

// Observer receives the reports of Watch.
type Observer interface {
	// Subscribed says that no change from now on will be missed. Earlier changes may
	// have been missed.
	Subscribed()
	// Alive says that the subscription worked at the time at or later, and that every
	// event published before at was reported.
	Alive(at time.Time)
	// Lost says that the subscription ended, or that a try to subscribe failed.
	Lost(err error)
	// Changed reports one batch of changes. Batches come in the order of the store, and
	// include those that this Store applied.
	Changed(Event)
}

// Batch is a list of writes that are applied in order, as one atomic step.
type Batch struct {
	Writes []Write
	// Limits are put in force if SetLimits is set, or if the store has none yet.
	Limits    Limits
	SetLimits bool
	// Durability is what Apply waits for, within the deadline of its context, if there
	// are Writes. Applied.NotDurable says that it waited in vain.
	Durability Durability
	// Watched asks a store that is not Watchable for Applied.Event.
	Watched bool
}

// Op says what a write does.
type Op byte

const (
	// Create stores the value of a key that is absent.
	Create Op = 'c'
	// Put creates an entry, or replaces its value. A replaced entry keeps its place in
	// the eviction order.
	Put Op = 'p'
	// Delete removes an entry.
	Delete Op = 'd'
	// Restore is a Create that also gives the entry a score in the eviction order.
	Restore Op = 'r'
)

// Write is one requested change.
type Write struct {
	Op    Op
	Key   string
	Value Value // not for Delete
	// IfMatch and IfNoneMatch are checked only if the write would otherwise change
	// something, and if a Put has IfMatch and the key is absent.
	IfMatch, IfNoneMatch VersionSet
	// TTL is how long the entry of a Create or a Put lives, from the time of the write, by
	// the clock of the store. It is rounded up to milliseconds, and at most MaxTTL. 0 is
	// for ever: so a Put may make an entry live on.
	TTL time.Duration
	// Expires is for Restore: the time of the store's clock at which the entry expires; the
	// zero time for never.
	Expires time.Time
	// Score is for Restore: the score of the entry, less the clock of the policy (see
	// State). Under Rank it is the number of fetches. Under other policies it has a
	// fraction if the entry was never fetched.
	Score float64
}

// Relative returns the Score of a Restore within bounds. Any file may have brought it,
// and it must stay exact to a half after a clock was added.
func (w *Write) Relative() float64 {
	if math.IsNaN(w.Score) {
		return 0
	}
	return min(max(w.Score, -1<<52), 1<<48)
}

// Size returns how many bytes a write counts against limits.
func (w *Write) Size() int64 { return int64(len(w.Key) + len(w.Value.Data)) }

// Outcome is the outcome of a write.
type Outcome byte

const (
	// Created, Replaced and Deleted say that the write changed the store.
	Created Outcome = iota + 1
	Replaced
	Deleted
	// Conflict says that the key exists and nothing was changed. Result.Version is that
	// of the existing entry.
	Conflict
	// Absent says that there was no entry to delete.
	Absent
	// PreconditionFailed says that the conditions of the write exclude the existing
	// version. Result.Version is that version, or zero for an absent key.
	PreconditionFailed
	// TooLarge says that key and value alone exceed Limits.MaxBytes.
	TooLarge
	// Refused says that the store cannot write now. Result.Reason has the words of the
	// store, and Result.Cause their cause.
	Refused
	// Expired says that the entry to restore has expired already.
	Expired
	// TooMuchAtOnce says that the write needs more evictions than a batch may make. The
	// batch made as many as it may. A later try continues from there.
	TooMuchAtOnce
)

var outcomeNames = map[Outcome]string{
	Created: "created", Replaced: "replaced", Deleted: "deleted", Conflict: "conflict", Absent: "absent",
	PreconditionFailed: "precondition_failed", TooLarge: "too_large", Expired: "expired", Refused: "refused", TooMuchAtOnce: "refused",
}

// String returns the name of the outcome in traces.
func (o Outcome) String() string { return outcomeNames[o] }

// Result is the answer to one write.
type Result struct {
	Outcome Outcome
	Version Version
	// SameValue says, for a Conflict, that the stored value equals that of the write,
	// with kind and content type.
	SameValue bool
	Reason    string
	Cause     Cause
}

// Refusal returns the error of a Refused write.
func (r *Result) Refusal() error { return &CausedError{Cause: r.Cause, Err: errors.New(r.Reason)} }

// Applied is the answer to a batch.
type Applied struct {
	Results []Result // one a write
	Evicted []string // keys that were evicted, perhaps some that this batch created
	// EvictedUnread is how many of them were never fetched.
	EvictedUnread int
	// Expired are the keys of expired entries that the batch removed. They are not among
	// Evicted.
	Expired []string
	// Number is the store's write number after the batch.
	Number uint64
	// Epoch changes when the store was emptied, and begins its numbers again.
	Epoch string
	// LastEvent is the ID of the last event published before the answer, if the store is
	// Watchable. A subscribed Observer has heard of it, or will.
	LastEvent Version
	// Limits are the limits in force. Another process may have set them.
	Limits Limits
	// Expiring is how many entries have a time at which they expire. Due says that some
	// have expired, and another Apply goes on removing them.
	Expiring int
	Due      bool
	// Over says that the store still exceeds a lowered limit. Converting says that the
	// order is not yet converted for the policy. Another Apply continues either. If both
	// are set, the store refuses to convert for now.
	Over, Converting bool
	Keys             int
	Bytes            int64
	// NotDurable is an ErrNotDurable if the entries that the Results tell of, changed or
	// not, are not as durable as the batch demands; otherwise nil.
	NotDurable error
	// Event has the changes of a batch that is Watched.
	Event Event
	// Waited is how long Apply waited for the durability, once it had the Results.
	Waited time.Duration
}

// Room bounds the bytes of the values that one Fetch returns.
type Room struct {
	// Enough bounds the sum of the values after each value but the first, which may
	// exceed it.
	Enough int64
	// Most bounds the sum in any case. A first value that exceeds it is not returned.
	Most int64
}

// AnyRoom is the room of a fetch that must return its first value, however large.
var AnyRoom = Room{Enough: MaxFetchBytes, Most: math.MaxInt64}

// Has reports whether a value of size has room behind values with taken bytes.
func (r Room) Has(taken int64, size int) bool {
	sum := taken + int64(size)
	return sum <= r.Most && (taken == 0 || sum <= r.Enough)
}

// Use is a number of uses of an entry that the store did not see.
type Use struct {
	Key   string
	Count int // at least 1
}

// Fetched is the answer to a fetch.
type Fetched struct {
	// Entries has an entry for each key that had room, in the order of the keys; nil for
	// an absent key.
	Entries []*Entry
	// Expires has the time at which each entry expires, by the clock of this process: a
	// little too early, by the time that the answer took. The zero time is never. If none
	// of the entries expires, Expires is nil.
	Expires []time.Time
	// Number is the store's write number at the time of the fetch. The entries reflect
	// every write up to it, and none after it.
	Number uint64
	// Epoch is as in Applied. An empty store may have none.
	Epoch string
	// LastEvent is as in Applied.
	LastEvent  Version
	LostRaises int
}

// Event is one batch of changes.
type Event struct {
	// ID has the store's write number after the batch, and the tag of the batch. Previous
	// is the ID of the event before: zero for the first event, and an ID that no event
	// has after a batch that failed half-way. Epoch is as in Applied.
	ID, Previous Version
	Epoch        string
	Changes      []Change
}

// Change is the change of one key.
type Change struct {
	// What is "created", "replaced", "deleted", "evicted" or "expired".
	What string
	Key  string
	// Number is the write number of the change.
	Number uint64
}
