package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// hitsPause is the least time between two calls that tell the store of local hits.
	hitsPause = time.Second
	// maxHits is how many keys one call tells of. Popular keys are hit soon after a
	// call, so they are among the first maxHits.
	maxHits = store.MaxBatch
	// maxUses bounds the hits of one key in a call.
	maxUses = 1 << 20
)

// hits collects the local hits of each entry for the store's eviction policy. The next
// call to the store carries them, at most once in hitsPause. If that call fails, they
// are lost.
type hits struct {
	full atomic.Bool

	mu     sync.Mutex
	listed []hit
	sent   time.Duration // since local.base
}

// hit is the counter of an entry. The entry may be gone from the local tier by now.
type hit struct {
	key   string
	count *atomic.Uint32
}

// add counts a hit. Only the first hit of an entry after each call takes the lock.
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

// due reports whether there are hits to tell and the pause is over.
func (h *hits) due(now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isDue(now)
}

func (h *hits) isDue(now time.Duration) bool {
	return len(h.listed) > 0 && now-h.sent >= hitsPause
}

// take returns the hits to tell, if they are due.
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
