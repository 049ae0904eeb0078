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
		// The probe comes first: while the store is taken for down, only one call at a time
		// finds out whether it is back. A partition without an answer takes all of the time
		// of a step, so each step has its own.
		s.state.Health = within(storeStateTimeout, c.Engine.Probe)
		s.state.Size, s.state.SizeErr = c.size()
		s.state.Partitions = within(storeStateTimeout, c.Partitions)
		s.at = time.Now()
	}
	return s.state
}

// size asks for the size of a cache.
func (c *Cache) size() (store.Size, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeStateTimeout)
	defer cancel()
	return c.Engine.Size(ctx)
}

// within calls ask with a context that ends after d.
func within[T any](d time.Duration, ask func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return ask(ctx)
}
