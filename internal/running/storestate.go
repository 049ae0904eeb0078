package running

import (
	"context"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// storeStateFor is how long an answer of the store is reused. storeStateTimeout is
	// how long a scrape waits for one.
	storeStateFor     = time.Second
	storeStateTimeout = time.Second
)

// storeState is the size and the health of a store, and of its partitions if it has
// several.
type storeState struct {
	Size       store.Size
	SizeErr    error
	Health     store.Health
	Partitions []engine.PartitionState
}

// storeStateCache reuses answers of the store. Many scrapes then do not ask it each time.
type storeStateCache struct {
	mu    sync.Mutex
	at    time.Time
	state storeState
}

// get asks the store of a cache, or returns an answer that is at most storeStateFor old.
func (s *storeStateCache) get(c *Cache) storeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || time.Since(s.at) > storeStateFor {
		ctx, cancel := context.WithTimeout(context.Background(), storeStateTimeout)
		defer cancel()
		// At the same time: a partition without an answer takes all of the time.
		var asking sync.WaitGroup
		asking.Go(func() { s.state.Health = c.Engine.Probe(ctx) })
		asking.Go(func() { s.state.Size, s.state.SizeErr = c.Engine.Size(ctx) })
		asking.Go(func() { s.state.Partitions = c.Partitions(ctx) })
		asking.Wait()
		s.at = time.Now()
	}
	return s.state
}
