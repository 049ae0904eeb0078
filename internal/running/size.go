package running

import (
	"context"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// sizeFor is for how long a store's size and health are told without asking
	// again, and sizeTimeout how long a scrape waits for them.
	sizeFor     = time.Second
	sizeTimeout = time.Second
)

// storeReading is what a store says of itself.
type storeReading struct {
	Size    store.Size
	SizeErr error
	Health  store.Health
}

// sizeCache bounds how often scrapes ask the store, however many there are.
type sizeCache struct {
	mu   sync.Mutex
	at   time.Time
	read storeReading
}

// get asks the store, unless it did so a moment ago.
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
