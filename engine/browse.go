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
	ttl = e.remaining(settings, k)
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

const (
	// deletesAtOnce is how many deletions of DeletePrefix wait for the worker at
	// the same time.
	deletesAtOnce = 64
	// crowdedPause is the time between two tries to queue a deletion while the
	// queue is full.
	crowdedPause = 5 * time.Millisecond
)

// DeletePrefix deletes the entries whose keys begin with prefix; "" deletes all. The
// deletions go through the queue, a bounded number at a time, and use at most half of
// it: while other writes need more, DeletePrefix waits. It returns how many entries
// it deleted, also with an error. The errors are those of writes.
//
// Entries that are created meanwhile may stay.
func (e *Engine) DeletePrefix(ctx context.Context, prefix string) (deleted int, err error) {
	if len(e.partitions) > 1 {
		_, err := browse(ctx, e, func(ctx context.Context) (func(string) int, error) { return e.stores.Locate(ctx, false) })
		if err != nil {
			return 0, err
		}
	}
	for _, p := range e.partitions {
		n, err := e.deletePrefix(ctx, p, prefix)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// deletePrefix is DeletePrefix for a partition.
func (e *Engine) deletePrefix(ctx context.Context, p *partition, prefix string) (deleted int, err error) {
	type step struct {
		keys []string
		next string
	}
	for after := ""; ; {
		s, err := browse(ctx, e, func(ctx context.Context) (step, error) {
			keys, next, err := p.store.Scan(ctx, prefix, after)
			return step{keys, next}, err
		})
		if err != nil {
			return deleted, err
		}
		n, err := e.deleteAll(ctx, p, s.keys)
		deleted += n
		if err != nil || s.next == "" {
			return deleted, err
		}
		after = s.next
	}
}

// deleteAll deletes keys of a partition. It stops at the first error.
func (e *Engine) deleteAll(ctx context.Context, p *partition, keys []string) (deleted int, err error) {
	type answer struct {
		result store.Result
		err    error
	}
	answers := make(chan answer)
	waiting := 0
	for len(keys) > 0 || waiting > 0 {
		if len(keys) > 0 && waiting < deletesAtOnce && err == nil {
			key := keys[0]
			keys = keys[1:]
			waiting++
			go func() {
				r, err := e.deletePatiently(ctx, p, key)
				answers <- answer{r, err}
			}()
			continue
		}
		if waiting == 0 {
			break
		}
		a := <-answers
		waiting--
		switch {
		case a.err != nil:
			err = a.err
		case a.result.Outcome == store.Deleted:
			deleted++
		}
	}
	return deleted, err
}

// deletePatiently deletes key once half of the queue has room for it. It gives up
// after Settings.Timeout without room.
func (e *Engine) deletePatiently(ctx context.Context, p *partition, key string) (store.Result, error) {
	settings := e.settings.Load()
	deadline := time.Now().Add(settings.Timeout)
	w := store.Write{Op: store.Delete, Key: key}
	half := queueBounds{max(1, settings.MaxQueueJobs/2), max(w.Size(), settings.MaxQueueBytes/2)}
	for {
		r, err := e.writeTo(ctx, p, w, settings.Timeout, half)
		if !errors.Is(err, ErrQueueFull) || time.Now().After(deadline) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(crowdedPause):
		}
	}
}
