package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Partitions are the stores that a namespace is spread over, and which of them has a key.
// Each has its own eviction order, write numbers and events.
type Partitions struct {
	Stores []store.Store
	// Locate returns a function that tells the place in Stores of a key. The place never
	// changes. With begin, it chooses the places in a namespace that does not exist yet; the
	// first calls wait for that, until their contexts end. Without begin, it asks the stores
	// each time, changes nothing, and returns nil if the namespace does not exist. Locate is
	// nil with one store.
	Locate func(ctx context.Context, begin bool) (func(key string) int, error)
	// Keep, if set, runs from the first call that needs a store until Close. It calls lost
	// when other processes may have begun to put keys into other places.
	Keep func(ctx context.Context, lost func())
	// Close closes all stores.
	Close func() error
}

// partition is a store with what the engine runs for it. All partitions of an engine share
// the local tier and the bounds of the queue.
type partition struct {
	index   int
	of      int // partitions
	store   store.Store
	fetcher *fetcher
	queue   *queue
	worker  *worker
	watch   *watch // nil if no other process writes to the store
}

func (e *Engine) newPartition(i int, o Options) *partition {
	stores := e.stores.Stores
	p := &partition{index: i, of: len(stores), store: stores[i]}
	logger := o.Logger
	if p.of > 1 {
		logger = logger.With(zap.Int("partition", i))
	}
	if shared, ok := p.store.(store.Watchable); ok {
		p.watch = newWatch(shared, e.local.base, logger)
	}
	p.fetcher = newFetcher(p.store, tier{e.local, uint16(i), p.of == 1}, p.watch, &e.settings, o.Prepare)
	p.queue = newQueue(e.room)
	p.worker = newWorker(p, &e.settings, &e.limits, logger)
	p.fetcher.sawExpiring = p.worker.sawExpiring
	p.fetcher.feed, p.worker.feed = e.feed, e.feed
	p.fetcher.namespace, p.worker.namespace = o.Namespace, o.Namespace
	return p
}

// start runs what the partition needs while the engine is open.
func (p *partition) start(ctx context.Context, running *sync.WaitGroup) {
	running.Go(p.worker.run)
	if p.watch != nil {
		running.Go(func() { p.watch.run(ctx, p.fetcher) })
	}
}

// partitionOf returns the partition of a key, and how much is left of Settings.Timeout
// then. It asks the store only if no call knew the places of keys before. If all is well,
// it starts the engine.
func (e *Engine) partitionOf(ctx context.Context, s *Settings, key string) (*partition, time.Duration, error) {
	if len(e.partitions) == 1 {
		e.start()
		return e.partitions[0], s.Timeout, nil
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	locate, err := e.stores.Locate(bounded, true)
	switch {
	case err == nil:
		e.start()
		return e.partitions[locate(key)], s.Timeout - time.Since(began), nil
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	}
	return nil, 0, readError(err)
}

// limitsState is what the workers of an engine know together of the limits.
type limitsState struct {
	// isNew says that no call came since the limits were configured. Until one comes, the
	// settings may be taken back, and must change nothing in the stores.
	isNew atomic.Bool

	mu sync.Mutex
	// foreign are limits of another process that were warned of, in the partition with
	// the index.
	foreign store.Limits
	index   int
}

// compare reports whether the limits in force in a partition are worth a warning. Mostly
// those of all partitions differ at once, so only one of them warns.
func (l *limitsState) compare(index int, own, inForce store.Limits) (warn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hasWarned := l.foreign != (store.Limits{})
	switch {
	case hasWarned && index != l.index:
		return false
	case own == inForce:
		l.foreign = store.Limits{}
		return false
	case l.foreign == inForce:
		return false
	}
	l.foreign, l.index = inForce, index
	return true
}
