package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// Bounds of one batch. A larger batch makes each write cheaper, but other users of
	// the store wait longer for it.
	maxBatchJobs  = 128
	maxBatchBytes = 1 << 20
	// choresPause is the time between batches without writes while the store fails, and
	// between those that look for expired entries or ask for watchers.
	choresPause = time.Second
	// expirePause is the time between batches that remove expired entries one after the
	// other. These are absent already, and no call waits for the batches.
	expirePause = 5 * time.Millisecond
	// maxSlowJobs bounds a batch that waits for a disk. With appendfsync everysec, one
	// batch takes a second.
	maxSlowJobs = store.MaxBatch
	// convertPause is the time between batches that only convert the order for another
	// policy. No call waits for these.
	convertPause = 20 * time.Millisecond
)

// worker applies the queued writes of a partition, one batch after another. Nothing else in
// the engine writes to its store. A batch is applied by whoever has the turn: the goroutine of run,
// or the call of a write that met no other.
type worker struct {
	*partition
	settings *atomic.Pointer[Settings]
	limits   *limitsState
	feed     *feed
	logger   *zap.Logger
	// namespace is for traces.
	namespace string

	done chan struct{} // closed when the queue is closed and empty
	turn chan struct{} // holds a token while somebody has the turn
	pace pace

	calls     *calls
	evictions evictions
	expired   atomic.Uint64 // entries

	// expiring says that entries in the store expire. Fetches may be the first to know.
	expiring atomic.Bool
	// limitsDue says that the next batch has to set the limits.
	limitsDue atomic.Bool
	// The fields below belong to who has the turn.

	// unfinished says that the store still exceeds a lowered limit, still converts its
	// order for another policy, or has expired entries.
	unfinished bool
	// resting is the time until which no batch without writes is sent.
	resting time.Time
	// sleeping is the time until which run sleeps at most; zero if it waits for a signal.
	sleeping time.Time
}

func newWorker(p *partition, s *atomic.Pointer[Settings], l *limitsState, logger *zap.Logger) *worker {
	return &worker{partition: p, settings: s, limits: l, logger: logger, done: make(chan struct{}), turn: make(chan struct{}, 1), calls: newCalls()}
}

// setLimits makes the next batch set the limits.
func (w *worker) setLimits() {
	w.limitsDue.Store(true)
	w.queue.signal()
}

// sawExpiring makes the worker look for expired entries from time to time, even if no write
// of this engine ever comes.
func (w *worker) sawExpiring() {
	if !w.expiring.Load() && !w.expiring.Swap(true) {
		w.queue.signal()
	}
}

// run applies writes that lead leaves, and does the chores: it sets limits, and goes on
// with what the store has not finished.
func (w *worker) run() {
	defer close(w.done)
	for {
		isLast := w.queue.isClosed() // nothing is put from now on
		w.turn <- struct{}{}
		rest := w.applyAll()
		w.sleeping = time.Time{}
		if rest > 0 {
			w.sleeping = time.Now().Add(rest)
		}
		<-w.turn
		switch {
		case w.queue.hasWaiting(): // put while this goroutine had the turn
		case isLast:
			return
		case rest == 0:
			<-w.queue.wake
		default:
			select {
			case <-w.queue.wake:
			case <-time.After(rest):
			}
		}
	}
}

// applyAll applies batches until neither writes nor chores are due. It returns the time
// until chores are due; 0 if there are none. The caller has the turn.
func (w *worker) applyAll() (rest time.Duration) {
	answered := 0
	for {
		jobs := w.take(answered)
		answered = len(jobs)
		if answered > 0 {
			// Jobs wait in arrival order, so the last one has the most time. The others
			// stop waiting at their own deadlines.
			w.apply(jobs, jobs[answered-1].deadline)
			continue
		}
		if !w.hasChores() || w.queue.isClosed() {
			return 0
		}
		if rest = time.Until(w.resting); rest > 0 {
			return rest
		}
		w.apply(nil, time.Now().Add(w.settings.Load().Timeout))
	}
}

// take takes the jobs of the next batch. So many jobs as answered were just answered.
func (w *worker) take(answered int) []*job {
	most := maxBatchJobs
	if w.settings.Load().Durability == store.Fsync {
		most = maxSlowJobs
	}
	return w.queue.take(most, maxBatchBytes, &w.pace, answered)
}

// hasChores reports whether there is work without writes. The caller has the turn.
func (w *worker) hasChores() bool {
	return w.unfinished || w.expiring.Load() || w.asksForWatchers() || w.limitsDue.Load()
}

// asksForWatchers reports whether to ask the store from time to time, because there are
// watchers. Only its answers show that it was emptied, that the last event was lost, or that
// entries of other nodes expire.
func (w *worker) asksForWatchers() bool { return w.watch != nil && w.feed.active.Load() }

// lead applies one batch for the call of a write, if nobody else applies one. So a write
// that meets no other wakes no goroutine. The batch has no more time than that call, and
// if that is little, run applies it.
func (w *worker) lead(c caller) {
	select {
	case w.turn <- struct{}{}:
	default:
		return // who has the turn looks at the queue after giving it up
	}
	defer w.handOver()
	runtime.Gosched() // as in fetcher.yield
	if time.Until(c.deadline) < w.pace.needs(c.timeout) {
		return
	}
	if jobs := w.take(0); len(jobs) > 0 {
		w.apply(jobs, c.deadline)
	}
}

// handOver gives up the turn, and leaves what is still to do to run. It does not wake run if
// that wakes up early enough by itself: while entries expire, there are always chores.
func (w *worker) handOver() {
	isDue := w.hasChores() && (w.sleeping.IsZero() || w.resting.Before(w.sleeping))
	<-w.turn
	if isDue || w.queue.hasWaiting() {
		w.queue.signal()
	}
}

// apply sends a batch until deadline, and answers its jobs. The caller has the turn.
func (w *worker) apply(jobs []*job, deadline time.Time) {
	// Swap comes before Load: settings that arrive in between are then sent twice. In
	// the other order they would be lost.
	setLimits := w.limitsDue.Swap(false)
	settings := w.settings.Load()
	batch := store.Batch{
		Limits: settings.Limits.Share(w.index, w.of), SetLimits: setLimits, Durability: settings.Durability,
		Writes: make([]store.Write, len(jobs)), Watched: w.watch == nil && w.feed.active.Load(),
	}
	for i, j := range jobs {
		batch.Writes[i] = j.write
	}
	var seen uint64
	applied, err := store.Applied{}, errBatchPanicked
	// Even after a panic: it may end only the request that leads, not the process.
	defer func() { w.settle(batch, jobs, applied, err, seen) }()
	w.fetcher.tellHits()
	seen = w.fetcher.seenNumber()
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	ctx, traced := beginBatch(ctx, work{spanApplyBatch, w.namespace, attrWrites, len(jobs)}, spansOfJobs(jobs))
	begin := time.Now()
	applied, err = w.store.Apply(ctx, batch)
	took := time.Since(begin)
	failure := err
	if failure == nil {
		failure = applied.NotDurable
	}
	traced.endApply(jobs, applied, failure)
	w.pace.note(took-applied.Waited, applied.Waited, err)
	w.calls.add(took, len(jobs), failure)
}

// errBatchPanicked is the error of a batch that panicked.
var errBatchPanicked = fmt.Errorf("%w: applying it panicked", store.ErrFateUnknown)

// settle notes the store's answer to a batch, and answers its jobs. When the batch was
// sent, the highest write number was seen.
func (w *worker) settle(batch store.Batch, jobs []*job, applied store.Applied, err error, seen uint64) {
	w.queue.release(jobs)
	if err != nil {
		w.failed(batch, jobs, err)
		return
	}
	w.evictions.add(applied.Evicted, applied.EvictedUnread)
	w.expired.Add(uint64(len(applied.Expired)))
	w.unfinished = applied.Over || applied.Converting || applied.Due
	w.expiring.Store(applied.Expiring > 0)
	if batch.SetLimits && applied.Limits != batch.Limits {
		w.limitsDue.Store(true) // the store could not set them: it is read-only, or full
	} else if !w.limits.isNew.Load() && !w.limitsDue.Load() {
		w.compare(batch.Limits, applied.Limits)
	}
	switch {
	case w.limitsDue.Load() || w.unfinished && len(applied.Evicted)+len(applied.Expired) == 0 && !applied.Converting:
		w.resting = time.Now().Add(choresPause)
	case applied.Due:
		w.resting = time.Now().Add(expirePause)
	case applied.Converting && !applied.Over:
		w.resting = time.Now().Add(convertPause)
	case (w.expiring.Load() || w.asksForWatchers()) && !w.unfinished:
		w.resting = time.Now().Add(choresPause)
	}
	// Before the jobs are answered: a client must not read an entry that it knows to be
	// gone.
	w.fetcher.written(changedKeys(batch.Writes, applied), applied, seen)
	w.feed.changed(applied.Event) // behind that: a watcher may read at once
	for i, j := range jobs {
		switch r := applied.Results[i]; r.Outcome {
		case store.Refused:
			j.finish(r, fmt.Errorf("%w: %w", ErrRefused, r.Refusal()))
		case store.TooMuchAtOnce:
			j.finish(r, ErrTooMuchAtOnce)
		default:
			j.finish(r, notDurable(r, applied.NotDurable))
		}
	}
}

// notDurable returns the error of the engine for a write whose batch is not durable.
func notDurable(r store.Result, err error) error {
	switch r.Outcome {
	case store.Created, store.Replaced, store.Deleted:
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotDurable, err)
		}
	case store.Conflict, store.Absent, store.PreconditionFailed:
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBasisNotDurable, err)
		}
	}
	return nil // what is too large needs nothing from the store
}

// failed answers the jobs of a batch that failed as a whole.
func (w *worker) failed(batch store.Batch, jobs []*job, err error) {
	if batch.SetLimits {
		w.limitsDue.Store(true)
	}
	w.resting = time.Now().Add(choresPause)
	answer := writeError(err)
	if errors.Is(answer, ErrMayBeApplied) {
		keys := make([]string, len(jobs))
		for i, j := range jobs {
			keys[i] = j.write.Key
		}
		w.fetcher.drop(keys, unknownNumber)
	}
	for _, j := range jobs {
		j.finish(store.Result{}, answer)
	}
}

// compare warns once if another process has set other limits.
func (w *worker) compare(own, inForce store.Limits) {
	if w.limits.compare(w.index, own, inForce) {
		w.logger.Warn("another configuration of this namespace set other limits; they are in force for all",
			zap.Int("max_keys", inForce.MaxKeys), zap.Int64("max_bytes", inForce.MaxBytes), zap.String("eviction", inForce.Eviction))
	}
}

// changedKeys returns the keys that a batch created, replaced, deleted or evicted, and those
// whose entries had expired.
func changedKeys(writes []store.Write, applied store.Applied) []string {
	keys := slices.Concat(applied.Evicted, applied.Expired)
	for i, r := range applied.Results {
		switch r.Outcome {
		case store.Created, store.Replaced, store.Deleted:
			keys = append(keys, writes[i].Key)
		}
	}
	return keys
}
