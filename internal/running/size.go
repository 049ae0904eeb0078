package running

import (
	"context"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// sizeFor is how long the size and the health of a store are reused. sizeTimeout is
	// how long a scrape waits for them.
	sizeFor     = time.Second
	sizeTimeout = time.Second
)

// storeReading is the size and the health of a store.
type storeReading struct {
	Size    store.Size
	SizeErr error
	Health  store.Health
}

// sizeCache reuses answers of the store, so that many scrapes do not ask it each time.
type sizeCache struct {
	mu   sync.Mutex
	at   time.Time
	read storeReading
}

// get asks the store, or returns an answer that is at most sizeFor old.
func (c *sizeCache) get(e *engine.Engine) storeReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) > sizeFor {
		ctx, cancel := context.WithTimeout(context.Background(), sizeTimeout)
		defer cancel()
		c.read.Health = e.Probe(ctx)
		c.read.Size, c.read.SizeErr = e.Size(ctx)
		c.at = time.Now()
	}
	return c.read
}
