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

// storeState is the size and the health of a store.
type storeState struct {
	Size    store.Size
	SizeErr error
	Health  store.Health
}

// storeStateCache reuses answers of the store. Many scrapes then do not ask it each time.
type storeStateCache struct {
	mu    sync.Mutex
	at    time.Time
	state storeState
}

// get asks the store, or returns an answer that is at most storeStateFor old.
func (c *storeStateCache) get(e *engine.Engine) storeState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) > storeStateFor {
		ctx, cancel := context.WithTimeout(context.Background(), storeStateTimeout)
		defer cancel()
		c.state.Health = e.Probe(ctx)
		c.state.Size, c.state.SizeErr = e.Size(ctx)
		c.at = time.Now()
	}
	return c.state
}
