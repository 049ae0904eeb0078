package engine

import (
	"context"
	"time"
)

// Watch returns a watcher of the changes of keys that begin with prefix. Every change that
// is applied after Watch returned is among its notices, whichever process wrote it; or a
// Reset is, if it may have been missed. The order is that of the store; with several
// partitions, that of each partition.
//
// With after, a place of an earlier watcher as AppendID names it, the notices go on behind
// it. If the engine does not know all that came since, the first notice is a Reset.
//
// The errors are those of Get, without ErrNotLocal. While the store fails, Watch returns a
// watcher all the same, with a Reset when the store is back.
func (e *Engine) Watch(ctx context.Context, prefix, after string) (*Watcher, error) {
	if e.closed.Load() {
		return nil, ErrClosed
	}
	settings := e.settings.Load()
	if len(e.partitions) > 1 {
		bounded, cancel := context.WithTimeout(ctx, settings.Timeout)
		defer cancel()
		if _, err := e.stores.Locate(bounded, true); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, readError(err)
		}
	}
	e.start()
	for _, p := range e.partitions {
		p.awaitEvents(ctx, settings.Timeout/2)
	}
	w, ok := e.feed.join(prefix, after)
	if !ok {
		return nil, ErrClosed
	}
	for _, p := range e.partitions {
		p.queue.signal() // see worker.asksForWatchers
		if p.watch == nil {
			// A batch that began before does not tell its changes.
			p.worker.turn <- struct{}{}
			p.worker.handOver()
		}
	}
	return w, nil
}

// awaitEvents waits until the first try to subscribe has ended, and learns the epoch of the
// store. Without it, the engine would not notice that the store was emptied before the next
// event.
func (p *partition) awaitEvents(ctx context.Context, timeout time.Duration) {
	if p.watch == nil {
		return
	}
	p.watch.awaitFirstTry(timeout)
	if p.fetcher.knowsEpoch() {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if size, err := p.store.Size(bounded); err == nil {
		p.fetcher.learn(size.Epoch)
	}
}
