package engine

import (
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// entryOverhead is the memory that an entry of the local tier needs beside its key, its
	// value and what Prepare returned: kept (112 bytes), otter's node (80), and at most 56
	// for its place in the hash table, in the frequency sketch, and to round up the key.
	entryOverhead = 248
	// spareShare is the part of the heap that Go has beside the objects and the garbage:
	// an eighth of them. It is free room in started pages, tables of the collector, and
	// pages that are kept for the next objects instead of going back to the system.
	spareShare = 8
)

// weightOf returns the memory of an entry in the local tier whose key, value and answers
// take size bytes. Garbage is not in it.
func weightOf(size int) uint32 {
	size += entryOverhead
	return uint32(min(size+size/spareShare, math.MaxUint32))
}

// kept is an entry in the local tier.
type kept struct {
	Entry
	// loaded is the time, since local.base, at which its fetch was sent.
	loaded time.Duration
	// number is the store's write number at the time of the fetch.
	number uint64
	weight uint32
	// partition is the index of its partition.
	partition uint16
	// rare has what few entries need. For the others it is nil, and takes no memory.
	rare *rare
}

// rare is the part of kept that only some entries have.
type rare struct {
	// hits counts local hits that the store does not know of yet.
	hits atomic.Uint32
	// expires is the time, since local.base, at which the entry expires; 0 for never.
	expires time.Duration
}

// life returns how much longer an entry lives, if it expires.
func (k *kept) life(now time.Duration) (left time.Duration, expires bool) {
	if k.rare == nil || k.rare.expires == 0 {
		return 0, false
	}
	return k.rare.expires - now, true
}

// local is the local tier: otter, bounded in bytes. Reads decide whether an entry is
// fresh. So settings may change at any time, and a stale entry can still answer while
// the store fails. Otter's expiry only cleans up.
type local struct {
	cache *otter.Cache[string, *kept]
	base  time.Time
	// keep is how long otter keeps an entry.
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

// now returns the time since base. It takes less memory than a time.Time.
func (l *local) now() time.Duration { return time.Since(l.base) }

func (l *local) get(key string) (*kept, bool) { return l.cache.GetIfPresent(key) }

// peek is get, but does not count as a use.
func (l *local) peek(key string) (*kept, bool) {
	e, ok := l.cache.GetEntryQuietly(key)
	return e.Value, ok
}

// tier is the part of the local tier that belongs to a partition.
type tier struct {
	*local
	partition uint16
	isAll     bool // there is no other partition
}

// put keeps k. It reports false if the tier is off, or if k is too large for it.
func (l tier) put(key string, k *kept) bool {
	if l.keep.Load() == 0 || uint64(k.weight) > l.cache.GetMaximum() {
		return false
	}
	k.partition = l.partition
	// The key of a request is a part of its first line. That may be long, and is not counted.
	l.cache.Set(strings.Clone(key), k)
	return true
}

// dropOlder removes the entry of key if it was fetched before write number.
func (l tier) dropOlder(key string, number uint64) {
	if e, ok := l.cache.GetEntryQuietly(key); ok && e.Value.number < number {
		l.cache.Invalidate(key)
	}
}

// dropAll removes the entries of the partition. Nobody may put one there meanwhile.
func (l tier) dropAll() {
	if l.isAll {
		l.cache.InvalidateAll() // much faster
		return
	}
	for key, k := range l.cache.All() {
		if k.partition == l.partition {
			l.cache.Invalidate(key)
		}
	}
}

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
