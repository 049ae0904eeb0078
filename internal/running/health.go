package running

import (
	"context"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// healthFor is how long the answer of a check is reused. It is shorter than the intervals of
// load balancers.
const healthFor = time.Second

// healthChecks lets all callers share the checks of a store. So a check costs the store
// little, however many strangers ask for it.
type healthChecks struct {
	turn   chan struct{} // has room for one: the caller that checks, or looks at the answer
	at     time.Time     // when the last check ended
	health store.Health
}

func newHealthChecks() *healthChecks { return &healthChecks{turn: make(chan struct{}, 1)} }

// get calls check, or returns an answer that is at most healthFor old. A caller whose context
// ends gets its error while it waits. Its check goes on without it, because others wait for
// that too; so check must end by itself.
func (h *healthChecks) get(ctx context.Context, check func(context.Context) store.Health) store.Health {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		err := context.Cause(ctx)
		return store.Health{Reads: err, Writes: err}
	}
	defer func() { <-h.turn }()
	if time.Since(h.at) > healthFor {
		h.health = check(context.WithoutCancel(ctx))
		h.at = time.Now()
	}
	return h.health
}

// Health tries whether the store would read and write, for at most redis_timeout. Unlike
// Engine.Probe it may be called by anyone at any rate: callers share one check, and an answer
// is reused for a second.
func (c *Cache) Health(ctx context.Context) store.Health {
	return c.health.get(ctx, c.Engine.Probe)
}
