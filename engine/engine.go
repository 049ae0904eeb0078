// Package engine is a key-value cache in two tiers. The store holds a bounded number
// of entries, and evicts those that its eviction policy values least. In front of it
// a local tier in memory answers reads. The package knows neither HTTP nor Caddy.
package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Engine answers reads from its local tier, or with a fetch from the store. It queues
// writes, and applies them in arrival order, one batch after another. Its methods may be
// called from any number of goroutines.
type Engine struct {
	stores    Partitions
	namespace string
	logger    *zap.Logger
	settings  atomic.Pointer[Settings]
	limits    limitsState

	local      *local
	feed       *feed
	room       *room
	partitions []*partition

	deletedByPrefix atomic.Uint64

	starting sync.Once
	ending   sync.Once
	closed   atomic.Bool
	running  sync.WaitGroup
	watching context.CancelFunc
}

// New returns an engine over st. Close closes st too. The engine does nothing with
// the store before the first call that needs it.
func New(st store.Store, s Settings, o Options) *Engine {
	return NewPartitioned(Partitions{Stores: []store.Store{st}, Close: st.Close}, s, o)
}

// NewPartitioned is New for a namespace that is spread over several stores.
func NewPartitioned(p Partitions, s Settings, o Options) *Engine {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	e := &Engine{stores: p, namespace: o.Namespace, logger: o.Logger, local: newLocal(&s), feed: newFeed(), room: newRoom()}
	e.settings.Store(&s)
	e.limits.isNew.Store(true)
	for i := range p.Stores {
		e.partitions = append(e.partitions, e.newPartition(i, o))
	}
	return e
}

// Configure puts new settings in force. The store gets new limits with the next call
// that needs it.
func (e *Engine) Configure(s Settings) {
	e.settings.Store(&s)
	e.local.configure(&s)
	e.limits.isNew.Store(true)
}

// start is called by every call that needs the store, once it knows that the store has the
// partitions of this engine. The first call starts the workers and the subscriptions. They
// do not start earlier, since a configuration that is only tried out must change nothing.
func (e *Engine) start() {
	if e.limits.isNew.Load() && e.limits.isNew.CompareAndSwap(true, false) {
		for _, p := range e.partitions {
			p.worker.setLimits()
		}
	}
	e.starting.Do(func() {
		var ctx context.Context
		ctx, e.watching = context.WithCancel(context.Background())
		for _, p := range e.partitions {
			p.start(ctx, &e.running)
		}
		if e.stores.Keep != nil {
			e.running.Go(func() {
				e.stores.Keep(ctx, func() {
					e.DropAllLocal()
					e.feed.reset()
				})
			})
		}
	})
}

// Get looks for the entry of key. If neither tier has the key, the Answer has no
// Entry; that is no error. The errors are ErrNotLocal, ErrTimeout, ErrUnavailable,
// ErrRefused, ErrClosed, and the cause of a ctx that ended.
func (e *Engine) Get(ctx context.Context, key string, r Read) (Answer, error) {
	settings := e.settings.Load()
	answer, old := e.lookUp(settings, key, r)
	if answer.Entry != nil {
		return answer, nil
	}
	answer, err := e.fetch(ctx, settings, key, r)
	if err == nil {
		answer.WasStale = old != nil
		return answer, nil
	}
	if answer, ok := e.staleIfError(ctx, settings, old, r); ok {
		return answer, nil
	}
	return Answer{}, err
}

// lookUp asks the local tier, and counts a hit. Without a fresh entry, the answer is
// empty, and the stale entry, if there is one, is returned beside it.
func (e *Engine) lookUp(s *Settings, key string, r Read) (Answer, *kept) {
	answer, k := e.peek(s, key, r)
	if answer.Entry == nil {
		return answer, k
	}
	e.countHit(s, key, k)
	return answer, nil
}

// peek is lookUp without counting. It returns the entry that it found, fresh or not.
func (e *Engine) peek(s *Settings, key string, r Read) (Answer, *kept) {
	if r.NoCache {
		return Answer{}, nil
	}
	k, ok := e.local.get(key)
	if !ok {
		return Answer{}, nil
	}
	if ttl, life := e.remaining(s, k); ttl > 0 {
		return Answer{Entry: &k.Entry, Source: Local, TTL: ttl, Life: life}, k
	}
	return Answer{}, k
}

func (e *Engine) countHit(s *Settings, key string, k *kept) {
	if s.RankLocalHits && k.rare != nil {
		e.partitions[k.partition].fetcher.hits.add(key, &k.rare.hits)
	}
}

// fetch reads from the store.
func (e *Engine) fetch(ctx context.Context, s *Settings, key string, r Read) (Answer, error) {
	if err := e.mayFetch(r); err != nil {
		return Answer{}, err
	}
	span := beginCall(ctx, work{spanFetch, e.namespace, attrKeys, 1})
	p, left, err := e.partitionOf(ctx, s, key)
	var answer Answer
	if err == nil {
		answer, err = p.fetcher.get(ctx, key, r.NoCache, newCaller(left, span))
	}
	span.endFetch(err, answer)
	return answer, err
}

// mayFetch reports why a read may not ask the store.
func (e *Engine) mayFetch(r Read) error {
	switch {
	case r.LocalOnly:
		return ErrNotLocal
	case e.closed.Load():
		return ErrClosed
	}
	return nil
}

// staleIfError answers with the stale entry old after a failed fetch, if
// Settings.StaleIfError allows it.
func (e *Engine) staleIfError(ctx context.Context, s *Settings, old *kept, r Read) (Answer, bool) {
	if old == nil || r.LocalOnly || ctx.Err() != nil {
		return Answer{}, false
	}
	// UnsubscribedTTL does not count here: the subscription is mostly lost because
	// the store fails.
	now := e.local.now()
	ttl := s.LocalTTL - (now - old.loaded)
	life, expires := old.life(now)
	if s.StaleIfError == 0 || ttl <= -s.StaleIfError || expires && life <= 0 {
		return Answer{}, false
	}
	return Answer{Entry: &old.Entry, Source: Local, TTL: min(ttl, 0), Life: life, StaleIfError: true}, true
}

// remaining returns how much longer a local entry is fresh, and how much longer it lives if
// it expires. It is not fresh longer than it lives.
func (e *Engine) remaining(s *Settings, k *kept) (ttl, life time.Duration) {
	now := e.local.now()
	ttl = s.LocalTTL
	if w := e.partitions[k.partition].watch; ttl > s.UnsubscribedTTL && w != nil && !w.alive(now) {
		ttl = s.UnsubscribedTTL
	}
	ttl -= now - k.loaded
	life, expires := k.life(now)
	if expires {
		ttl = min(ttl, life)
	}
	return ttl, life
}

// Write carries out a write and waits for the answer, at most for Settings.Timeout. The
// value must not be changed from then on. The errors are ErrQueueFull, ErrTimeout,
// ErrUnavailable, ErrRefused, ErrMayBeApplied, ErrClosed, and the cause of a ctx that
// ended. A Result beside an error means nothing.
func (e *Engine) Write(ctx context.Context, w store.Write) (store.Result, error) {
	settings := e.settings.Load()
	return e.writeWithin(ctx, w, settings, queueBounds{settings.MaxQueueJobs, settings.MaxQueueBytes})
}

// writeWithin is Write with other bounds on the queue than the settings have.
func (e *Engine) writeWithin(ctx context.Context, w store.Write, settings *Settings, most queueBounds) (store.Result, error) {
	p, left, err := e.partitionOf(ctx, settings, w.Key)
	if err != nil {
		return store.Result{}, err
	}
	return e.writeTo(ctx, p, w, left, most)
}

// writeTo is writeWithin for a partition. It adds a span to the trace of the request, if
// there is one.
func (e *Engine) writeTo(ctx context.Context, p *partition, w store.Write, timeout time.Duration, most queueBounds) (store.Result, error) {
	e.start()
	span := beginCall(ctx, work{spanApply, e.namespace, attrWrites, 1})
	result, err := p.enqueue(ctx, p.queue.newJob(w, timeout, span), most)
	span.endWrite(result, err)
	return result, err
}

func (p *partition) enqueue(ctx context.Context, j *job, most queueBounds) (store.Result, error) {
	if err := p.queue.put(j, most); err != nil {
		p.queue.recycle(j)
		return store.Result{}, err
	}
	p.worker.lead(caller{timeout: j.timeout, deadline: j.deadline})
	return p.await(ctx, j)
}

// await waits for the answer of a queued job whose timer runs, and ends the job.
func (p *partition) await(ctx context.Context, j *job) (store.Result, error) {
	answer := func() (store.Result, error) {
		defer p.queue.recycle(j)
		return j.result, j.err
	}
	select {
	case <-j.done:
		return answer()
	case <-ctx.Done():
		if p.queue.withdraw(j) {
			p.queue.recycle(j)
			return store.Result{}, context.Cause(ctx)
		}
		// Somebody has taken the job, and will send it.
		select {
		case <-j.done:
			return answer()
		case <-j.timer.C:
		}
	case <-j.timer.C:
		if p.queue.withdraw(j) {
			p.queue.recycle(j)
			return store.Result{}, ErrTimeout
		}
	}
	select {
	case <-j.done: // at the same moment
		return answer()
	default:
	}
	// Somebody still has the job, so it must not be recycled.
	p.fetcher.drop([]string{j.write.Key}, unknownNumber)
	return store.Result{}, ErrMayBeApplied
}

// Close refuses new calls, and applies the writes that wait for at most
// Settings.DrainTimeout. It answers the rest with ErrClosed. Then it closes the store,
// and ends everything that the engine started. Only the first call does so.
func (e *Engine) Close() error {
	var err error
	e.ending.Do(func() {
		e.closed.Store(true)
		e.feed.close()
		// A write may have come at the same time, even if it is the first call.
		e.starting.Do(func() {
			for _, p := range e.partitions {
				e.running.Go(p.worker.run)
			}
		})
		for _, p := range e.partitions {
			p.queue.close()
		}
		e.drain()
		if e.watching != nil {
			e.watching()
		}
		for _, p := range e.partitions {
			p.fetcher.close()
		}
		// Calls that still wait for an answer of the store end here.
		err = e.stores.Close()
		e.running.Wait()
		for _, p := range e.partitions {
			p.fetcher.running.Wait()
		}
		e.local.close()
	})
	return err
}

// drain waits until the workers have emptied their queues.
func (e *Engine) drain() {
	timeout := time.After(e.settings.Load().DrainTimeout)
	for _, p := range e.partitions {
		select {
		case <-p.worker.done:
		case <-timeout:
			refused := 0
			for _, p := range e.partitions {
				refused += p.queue.abandon()
			}
			e.logger.Error("drain_timeout passed before all queued writes were applied; the rest was refused",
				zap.Int("refused", refused))
			return
		}
	}
}
