package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// aliveFor is how long an answer to a ping proves that the subscription works.
const aliveFor = time.Second

// watch knows whether this process receives the changes that other processes make to
// the store.
type watch struct {
	store  store.Watchable
	logger *zap.Logger
	base   time.Time
	// proven is the last time, since base, at which the subscription was known to work;
	// 0 for never.
	proven   atomic.Int64
	events   atomic.Uint64
	losses   atomic.Uint64
	tryOnce  sync.Once
	firstTry chan struct{} // closed after the first try to subscribe
}

func newWatch(st store.Watchable, base time.Time, logger *zap.Logger) *watch {
	return &watch{store: st, logger: logger, base: base, firstTry: make(chan struct{})}
}

func (w *watch) run(ctx context.Context, f *fetcher) {
	w.store.Watch(ctx, &observer{watch: w, fetcher: f})
	w.tried() // calls need not wait any more
}

func (w *watch) tried() { w.tryOnce.Do(func() { close(w.firstTry) }) }

// alive reports whether the subscription is known to work; now is since base.
func (w *watch) alive(now time.Duration) bool {
	proven := w.proven.Load()
	return proven != 0 && now-time.Duration(proven) < aliveFor
}

// lastProof returns when the subscription last proved to work; zero for never.
func (w *watch) lastProof() time.Time {
	proven := w.proven.Load()
	if proven == 0 {
		return time.Time{}
	}
	return w.base.Add(time.Duration(proven))
}

// awaitFirstTry waits until the first try to subscribe succeeded or failed. Entries
// fetched before the subscription would have to be dropped.
func (w *watch) awaitFirstTry(timeout time.Duration) {
	select {
	case <-w.firstTry:
		return
	default:
	}
	select {
	case <-w.firstTry:
	case <-time.After(timeout):
	}
}

// observer receives the reports of the store, and passes them on. The store calls it
// from one goroutine.
type observer struct {
	watch   *watch
	fetcher *fetcher
	lost    bool
}

func (o *observer) Subscribed() {
	o.fetcher.subscribed()
	if o.lost {
		o.watch.logger.Info("subscription to the store's events is back")
		o.lost = false
	}
	o.watch.tried()
}

func (o *observer) Alive(at time.Time) {
	since := at.Sub(o.watch.base)
	o.fetcher.ponged(since)
	o.watch.proven.Store(max(1, int64(since)))
}

func (o *observer) Lost(err error) {
	if !o.lost {
		o.watch.logger.Warn("no subscription to the store's events: local entries are kept for unsubscribed_ttl only", zap.Error(err))
		o.lost = true
		o.watch.losses.Add(1)
	}
	o.watch.tried()
}

func (o *observer) Changed(e store.Event) {
	o.watch.events.Add(1)
	o.fetcher.changed(e)
}
