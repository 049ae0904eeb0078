package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// hitsPause spaces the calls that tell the store of local hits.
	hitsPause = time.Second
	// maxHits is of how many keys one call tells. Those that are asked for often
	// are among the first that are hit after a call, and so among these.
	maxHits = store.MaxBatch
	// maxUses bounds what one key counts in a call.
	maxUses = 1 << 20
)

// hits gathers which entries the local tier answered, and how often, for the
// store's eviction policy. They go with the next call to the store, at most one
// in hitsPause; those of a call that fails are lost.
type hits struct {
	full atomic.Bool

	mu     sync.Mutex
	listed []hit
	sent   time.Duration // since local.base
}

// hit is the counter of an entry, which may have left the local tier since.
type hit struct {
	key   string
	count *atomic.Uint32
}

// add counts a hit. Only the first one of an entry after a call takes the lock.
func (h *hits) add(key string, count *atomic.Uint32) {
	if count.Add(1) > 1 {
		return
	}
	if h.full.Load() {
		count.Store(0)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listed) == maxHits {
		count.Store(0)
		return
	}
	h.listed = append(h.listed, hit{key, count})
	h.full.Store(len(h.listed) == maxHits)
}

// due reports whether there is something to tell, and a call may.
func (h *hits) due(now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isDue(now)
}

func (h *hits) isDue(now time.Duration) bool {
	return len(h.listed) > 0 && now-h.sent >= hitsPause
}

// take returns what to tell, if it is time for it.
func (h *hits) take(now time.Duration) []store.Use {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isDue(now) {
		return nil
	}
	uses := make([]store.Use, 0, len(h.listed))
	places := make(map[string]int, len(h.listed))
	for _, hit := range h.listed {
		n := int(min(hit.count.Swap(0), maxUses))
		// An entry that was dropped and fetched again is listed twice.
		if i, ok := places[hit.key]; ok {
			uses[i].Count = min(uses[i].Count+n, maxUses)
			continue
		}
		places[hit.key] = len(uses)
		uses = append(uses, store.Use{Key: hit.key, Count: n})
	}
	clear(h.listed)
	h.listed = h.listed[:0]
	h.full.Store(false)
	h.sent = now
	return uses
}
