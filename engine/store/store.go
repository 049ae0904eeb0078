// Package store says what the engine needs of the place where entries live.
// It is implemented by redisstore and memstore; the suite in storetest holds
// both to the same behaviour.
package store

import (
	"context"
	"errors"
	"math"
	"time"
)

// MaxFetchBytes is for how many bytes of values a Fetch should ask at most: an
// answer is held in memory, and keeps everyone else from the store.
const MaxFetchBytes = 4 << 20

// MaxBatch is the largest number of keys in one Fetch and of writes in one
// Apply.
const MaxBatch = 1000

// TrimStep is how many entries an Apply evicts at most to work off a lowered
// limit, so that none holds up the others for long.
const TrimStep = 200

var (
	// ErrUnavailable says that the store did not do what was asked, and that
	// nothing was changed.
	ErrUnavailable = errors.New("store unavailable")

	// ErrRefused is an ErrUnavailable that the store itself gave as its answer.
	// Repeating the call helps only once the reason is mended.
	ErrRefused error = refusedError{}

	// ErrFateUnknown says that the store may or may not have applied a batch:
	// it was sent, and no answer came in time.
	ErrFateUnknown = errors.New("no answer from the store")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store closed")
)

type refusedError struct{}

func (refusedError) Error() string { return "the store refuses" }

func (refusedError) Unwrap() error { return ErrUnavailable }

// Store keeps a bounded set of entries in eviction order. Its methods may be
// called from any number of goroutines; each call is atomic.
//
// The deadline of ctx bounds a call, all its tries included. Errors wrap
// ErrUnavailable, ErrFateUnknown or ErrClosed.
type Store interface {
	// Fetch reads the entries of keys, at most MaxBatch, and tells the
	// eviction policy of each one found: once, however often it had to ask.
	// When the store can read but not write, the entries are returned all
	// the same and Fetched.LostRaises counts what the policy was not told.
	//
	// It goes through the keys in their order as long as room has room for the
	// values, and returns the entries of those alone. The policy is not told of
	// the keys that are left.
	//
	// Before that it tells the policy of uses, at most MaxBatch and each of
	// another key, which copies of entries had meanwhile. Keys that are absent
	// are passed over.
	Fetch(ctx context.Context, keys []string, room Room, uses ...Use) (Fetched, error)

	// Apply runs the writes of a batch, at most MaxBatch, one after another,
	// and evicts as they and the limits demand. With an error that wraps
	// ErrUnavailable none of it happened; with ErrFateUnknown all or none.
	//
	// A batch without writes is useful too: it sets limits, and works off a
	// lowered one, or converts the order for another policy, by a bounded step
	// (see Applied.Over and Converting).
	Apply(ctx context.Context, b Batch) (Applied, error)

	// Size reads how full the store is. Like Page, Look and Scan it changes
	// nothing, tells the eviction policy nothing, and works also where the
	// store can only be read.
	Size(ctx context.Context) (Size, error)
	// Page lists up to n entries, at most MaxBatch, that lie behind after.
	Page(ctx context.Context, after Cursor, n int, order Order) (Page, error)
	// Look reads one entry and its place; nil if it is absent.
	Look(ctx context.Context, key string) (*Listed, error)
	// Scan is one bounded step of a pass over all keys. It returns those it
	// met that begin with prefix, and where the next step goes on: the first
	// begins with "", and after the last there is "" again. A key that exists
	// during the whole pass is returned, perhaps more than once.
	Scan(ctx context.Context, prefix, after string) (keys []string, next string, err error)

	// Probe tries what Fetch and Apply do, and changes nothing, also where there
	// is nothing yet.
	Probe(ctx context.Context) Health

	// Close ends the store and everything it started.
	Close() error
}

// Health says why a store would not do its work now; nil where it would. Where it
// does not read it does not write either.
type Health struct {
	Reads, Writes error
}

// Watchable is a Store that other processes write to as well.
type Watchable interface {
	Store

	// Watch reports every change of the store to o until ctx ends, through
	// any number of lost connections. It calls o from one goroutine.
	Watch(ctx context.Context, o Observer)
}

// Observer receives what Watch learns.
type Observer interface {
	// Subscribed says that from now on no change will be missed; changes
	// before it may have been.
	Subscribed()
	// Alive says that the subscription stood at a moment not before at, and that
	// every event that the store published before at was reported.
	Alive(at time.Time)
	// Lost says that the subscription, or the try to subscribe, failed.
	Lost(err error)
	// Changed reports one batch of changes, in the order of the store, also of
	// those that this Store applied.
	Changed(Event)
}

// Limits bound a store and say which policy orders it. They belong to the
// stored namespace: every process that uses it obeys the limits set last.
type Limits struct {
	MaxKeys  int
	MaxBytes int64 // of keys and values together; 0 is no limit
	Eviction string
}

// Batch is a number of writes that are applied in order, atomically.
type Batch struct {
	Writes []Write
	// Limits are put in force if SetLimits, or if the store has none yet.
	Limits    Limits
	SetLimits bool
}

// Op says what a write does.
type Op byte

const (
	// Create stores the value of a key that is absent.
	Create Op = 'c'
	// Put creates an entry, or replaces its value and keeps its place in the
	// eviction order.
	Put Op = 'p'
	// Delete removes an entry.
	Delete Op = 'd'
	// Restore is a Create that gives the entry a place in the eviction order,
	// as one that was there before.
	Restore Op = 'r'
)

// Write is one change asked for.
type Write struct {
	Op    Op
	Key   string
	Value Value // not for Delete
	// IfMatch and IfNoneMatch are looked at only where the write would
	// otherwise change something, and by Put with IfMatch of an absent key.
	IfMatch, IfNoneMatch VersionSet
	// Score is for Restore: the score of the entry, less the clock of the policy
	// (see State): under Rank, how often the entry was fetched. Under the others
	// it has a fraction if the entry never was.
	Score float64
}

// Relative is the Score of a Restore, which others may have sent, as a number
// that is exact to a half after a clock was added.
func (w *Write) Relative() float64 {
	if math.IsNaN(w.Score) {
		return 0
	}
	return min(max(w.Score, -1<<52), 1<<48)
}

// Size is what a write counts against limits in bytes.
func (w *Write) Size() int64 { return int64(len(w.Key) + len(w.Value.Data)) }

// Outcome says what became of a write.
type Outcome byte

const (
	// Created and the others up to Deleted changed the store.
	Created Outcome = iota + 1
	Replaced
	Deleted
	// Conflict left the existing entry alone; Result.Version is the existing
	// one's.
	Conflict
	// Absent found no entry to delete.
	Absent
	// PreconditionFailed met a version that the write excludes;
	// Result.Version is the existing one's, or zero.
	PreconditionFailed
	// TooLarge says that key and value exceed Limits.MaxBytes by themselves.
	TooLarge
	// Refused says that the store cannot write now; Result.Reason has its
	// words, Result.Cause what they mean.
	Refused
	// TooMuchAtOnce says that more entries would have to leave for this one
	// than a batch may evict. It did evict so many; a later try goes on.
	TooMuchAtOnce
)

var outcomeNames = map[Outcome]string{
	Created: "created", Replaced: "replaced", Deleted: "deleted", Conflict: "conflict", Absent: "absent",
	PreconditionFailed: "precondition_failed", TooLarge: "too_large", Refused: "refused", TooMuchAtOnce: "refused",
}

// String returns the name that traces have for an outcome.
func (o Outcome) String() string { return outcomeNames[o] }

// Result is the answer to one write.
type Result struct {
	Outcome Outcome
	Version Version
	// SameValue says of a Conflict that the stored value, with kind and
	// content type, is the one of the write.
	SameValue bool
	Reason    string
	Cause     Cause
}

// Refusal is the error of a Refused write.
func (r *Result) Refusal() error { return &CausedError{Cause: r.Cause, Err: errors.New(r.Reason)} }

// Applied is the answer to a batch.
type Applied struct {
	Results []Result // one a write
	Evicted []string // keys that left for want of room, also those of this batch
	// EvictedUnread is how many of those were never fetched.
	EvictedUnread int
	// Number is the store's write number after the batch.
	Number uint64
	// Epoch is another one when the store was emptied, and counts anew.
	Epoch string
	// LastEvent is the ID of the last event as of the answer, of a store that is
	// Watchable: an Observer that is subscribed hears of it, or has.
	LastEvent Version
	// Limits are those in force, which another process may have set.
	Limits Limits
	// Over says that a lowered limit is not worked off yet, Converting that the
	// order is not converted for the policy yet: another Apply will go on with
	// it. Both say that the store refuses to convert for now.
	Over, Converting bool
	Keys             int
	Bytes            int64
}

// Room bounds the bytes of the values that one Fetch returns.
type Room struct {
	// Enough is how many there may be with every value after the first. The first
	// has room all the same.
	Enough int64
	// Most is how many there may be in any case; a first value that is larger is
	// left too.
	Most int64
}

// AnyRoom is the room of a fetch whose first value has to be returned, however
// large it is.
var AnyRoom = Room{Enough: MaxFetchBytes, Most: math.MaxInt64}

// Has reports whether a value has room behind others, which take so many bytes.
func (r Room) Has(taken int64, size int) bool {
	sum := taken + int64(size)
	return sum <= r.Most && (taken == 0 || sum <= r.Enough)
}

// Use says how often an entry was used where the store did not see it.
type Use struct {
	Key   string
	Count int // at least 1
}

// Fetched is the answer to a fetch.
type Fetched struct {
	// Entries has one for each key that had room, in their order; nil for an
	// absent one.
	Entries []*Entry
	// Number is the store's write number as of the fetch: the entries
	// reflect every write up to it, and none after.
	Number uint64
	// Epoch is as in Applied. An empty store may have none.
	Epoch string
	// LastEvent is as in Applied.
	LastEvent  Version
	LostRaises int
}

// Event is one batch of changes.
type Event struct {
	// ID has the store's write number after the batch, and the tag of the batch.
	// Previous is the ID of the event before: zero for the first one, and one
	// that no event has where a batch failed half-way. Epoch is as in Applied.
	ID, Previous Version
	Epoch        string
	Changes      []Change
}

// Change is what happened to one key.
type Change struct {
	// What is "created", "replaced", "deleted" or "evicted".
	What string
	Key  string
	// Number is the write number of the change.
	Number uint64
}
