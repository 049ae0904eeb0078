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

// StoreReading is what a store says of itself.
type StoreReading struct {
	Size    store.Size
	SizeErr error
	Health  store.Health
}

// SizeCache bounds how often scrapes ask the store, however many there are.
type SizeCache struct {
	mu   sync.Mutex
	at   time.Time
	read StoreReading
}

// Get asks the store, unless it did so a moment ago.
func (c *SizeCache) Get(e *engine.Engine) StoreReading {
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
