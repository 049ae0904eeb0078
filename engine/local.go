package engine

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// entryOverhead is what an entry of the local tier costs beside its key, its
// value and what Prepare made: the structs, and the nodes that otter keeps.
const entryOverhead = 400

// kept is an entry in the local tier.
type kept struct {
	Entry
	// loaded is when the fetch that brought it was sent, since local.base.
	loaded time.Duration
	// number is the store's write number as of the fetch.
	number uint64
	weight uint32
	// hits counts those that the store was not told of; nil if it is not to be.
	hits *atomic.Uint32
}

// local is the local tier: otter, bounded in bytes. Freshness is not decided
// here but when an entry is read, so that settings may change and a stale
// entry can still answer when the store fails; otter's expiry only cleans up.
type local struct {
	cache *otter.Cache[string, *kept]
	base  time.Time
	// keep is for how long otter keeps what is put into it.
	keep      atomic.Int64
	evictions atomic.Uint64
}

func newLocal(s *Settings) *local {
	l := &local{base: time.Now()}
	l.keep.Store(int64(s.LocalTTL + s.StaleIfError))
	l.cache = otter.Must(&otter.Options[string, *kept]{
		MaximumWeight: uint64(s.LocalMaxBytes),
		Weigher:       func(_ string, k *kept) uint32 { return k.weight },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(otter.Entry[string, *kept]) time.Duration {
			return time.Duration(l.keep.Load())
		}),
		// Unlike OnDeletion this starts no goroutine for each deletion.
		OnAtomicDeletion: func(d otter.DeletionEvent[string, *kept]) {
			if d.Cause == otter.CauseOverflow {
				l.evictions.Add(1)
			}
		},
	})
	return l
}

func (l *local) configure(s *Settings) {
	l.keep.Store(int64(s.LocalTTL + s.StaleIfError))
	l.cache.SetMaximum(uint64(s.LocalMaxBytes))
}

// now is the time since base, which is cheaper to keep than a time.Time.
func (l *local) now() time.Duration { return time.Since(l.base) }

func (l *local) get(key string) (*kept, bool) { return l.cache.GetIfPresent(key) }

// peek is get without counting as a use.
func (l *local) peek(key string) (*kept, bool) {
	e, ok := l.cache.GetEntryQuietly(key)
	return e.Value, ok
}

// put keeps k, and reports whether the tier is on and k fits into it.
func (l *local) put(key string, k *kept) bool {
	if l.keep.Load() == 0 || uint64(k.weight) > l.cache.GetMaximum() {
		return false
	}
	l.cache.Set(key, k)
	return true
}

// dropOlder removes the entry of key if it was fetched before write number.
func (l *local) dropOlder(key string, number uint64) {
	if e, ok := l.cache.GetEntryQuietly(key); ok && e.Value.number < number {
		l.cache.Invalidate(key)
	}
}

func (l *local) dropAll() { l.cache.InvalidateAll() }

func (l *local) stats() LocalStats {
	return LocalStats{
		Entries:   l.cache.EstimatedSize(),
		Bytes:     int64(l.cache.WeightedSize()),
		MaxBytes:  int64(l.cache.GetMaximum()),
		Evictions: l.evictions.Load(),
	}
}

func (l *local) close() {
	l.cache.InvalidateAll()
	l.cache.StopAllGoroutines()
}
