package engine

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Size reads how full the store is. Like Page and Look, it tells the eviction
// policy nothing, starts nothing, and takes no longer than Settings.Timeout. The
// errors of all three are ErrUnavailable, ErrRefused, ErrClosed, and the cause of a
// ctx that was canceled.
func (e *Engine) Size(ctx context.Context) (store.Size, error) {
	return browse(ctx, e, func(ctx context.Context) (store.Size, error) {
		sizes, err := ofAll(ctx, e, func(ctx context.Context, p *partition) (store.Size, error) { return p.store.Size(ctx) })
		if err != nil {
			return store.Size{}, err
		}
		sum := sizes[0]
		for _, s := range sizes[1:] {
			sum.Keys += s.Keys
			sum.Bytes += s.Bytes
			sum.Expiring += s.Expiring
			sum.Number += s.Number
			sum.Limits.MaxKeys += s.Limits.MaxKeys
			sum.Limits.MaxBytes += s.Limits.MaxBytes
		}
		return sum, nil
	})
}

// Page lists up to n entries, at most store.MaxBatch, in eviction order or the
// reverse, without their values. A cursor that no Page returned is a
// store.ErrCursor.
//
// Partitions evict independently. Their orders are merged by rank, and by age among equal
// ranks, so the order of entries of different partitions is approximate.
func (e *Engine) Page(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error) {
	return browse(ctx, e, func(ctx context.Context) (store.Page, error) {
		if len(e.partitions) == 1 {
			return e.partitions[0].store.Page(ctx, after, n, order)
		}
		return e.mergedPage(ctx, after, n, order)
	})
}

// Look reads one entry with its value and its place in the eviction order. It asks
// the store, not the local tier. It returns nil for an absent key.
func (e *Engine) Look(ctx context.Context, key string) (*store.Listed, error) {
	return browse(ctx, e, func(ctx context.Context) (*store.Listed, error) {
		if len(e.partitions) == 1 {
			return e.partitions[0].store.Look(ctx, key)
		}
		locate, err := e.stores.Locate(ctx, false)
		if err != nil || locate == nil {
			return nil, err
		}
		return e.partitions[locate(key)].store.Look(ctx, key)
	})
}

// Probe tries within Settings.Timeout whether the store would read and write. It
// changes nothing there. Reads that the local tier can answer do not need the store,
// so they may go on though Probe fails.
func (e *Engine) Probe(ctx context.Context) store.Health {
	return e.health(ctx, e.probe)
}

// health calls probe within Settings.Timeout, and returns errors of the engine.
func (e *Engine) health(ctx context.Context, probe func(context.Context) store.Health) store.Health {
	health, err := browse(ctx, e, func(ctx context.Context) (store.Health, error) {
		health := probe(ctx)
		return health, health.Reads
	})
	if err != nil {
		return store.Health{Reads: err, Writes: err}
	}
	if health.Writes != nil {
		health.Writes = readError(health.Writes)
	}
	return health
}

// probe probes all partitions. The namespace reads, or writes, if all of them do.
func (e *Engine) probe(ctx context.Context) store.Health {
	settings := e.settings.Load()
	all, err := ofAll(ctx, e, func(ctx context.Context, p *partition) (store.Health, error) {
		health := p.store.Probe(ctx, settings.Durability)
		health.Reads, health.Writes = p.named(health.Reads), p.named(health.Writes)
		return health, nil
	})
	if err != nil {
		return store.Health{Reads: err, Writes: err}
	}
	var worst store.Health
	for _, health := range all {
		worst.Reads = cmp.Or(worst.Reads, health.Reads)
		worst.Writes = cmp.Or(worst.Writes, health.Writes)
	}
	return worst
}

// browse calls read within Settings.Timeout, and returns errors of the engine.
func browse[T any](ctx context.Context, e *Engine, read func(context.Context) (T, error)) (T, error) {
	var none T
	if e.closed.Load() {
		return none, ErrClosed
	}
	bounded, cancel := context.WithTimeout(ctx, e.settings.Load().Timeout)
	defer cancel()
	got, err := read(bounded)
	switch {
	case err == nil:
		return got, nil
	case ctx.Err() == context.Canceled:
		return none, context.Cause(ctx)
	case errors.Is(err, store.ErrCursor):
		return none, err
	default:
		return none, readError(err)
	}
}

// LookLocal reports whether the local tier holds key, and for how much longer the
// entry is fresh. The ttl of a stale entry, which answers only while the store fails,
// is not positive.
func (e *Engine) LookLocal(key string) (ttl time.Duration, ok bool) {
	settings := e.settings.Load()
	k, ok := e.local.peek(key)
	if !ok {
		return 0, false
	}
	ttl, _ = e.remaining(settings, k)
	return ttl, ttl > -settings.StaleIfError
}

// DropLocal removes key from the local tier, and reports whether it was there. A
// fetch on its way does not bring it back.
func (e *Engine) DropLocal(key string) bool {
	_, held := e.local.peek(key)
	for _, p := range e.partitions { // all but one hold nothing of it
		p.fetcher.drop([]string{key}, unknownNumber)
	}
	return held
}

// DropAllLocal empties the local tier. Fetches on their way bring nothing back.
func (e *Engine) DropAllLocal() {
	for _, p := range e.partitions {
		p.fetcher.fenceAll()
	}
	e.local.cache.InvalidateAll()
}
