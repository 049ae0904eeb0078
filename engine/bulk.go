package engine

import (
	"container/list"
	"context"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// This file queues writes for callers that have many at once. Such a caller needs no
// goroutine for each, and waits for a place in the queue instead of being refused.

// bulkShare is the part of the queue that all writes of Submit may take together: half. So
// a write that comes alone finds a place, however much comes by Submit.
const bulkShare = 2

// bulkRoom has the writes of Submit that count against the bounds of the queue, and those
// that wait for a place. The lock of the room guards it.
type bulkRoom struct {
	jobs  int
	bytes int64
	line  list.List // of *admission, in order of arrival
}

// admission is a job that waits for a place in the queue.
type admission struct {
	queue *queue
	job   *job
	most  queueBounds
	place *list.Element // nil once ready has its answer
	ready chan error
}

// Pending is a write that is in the queue, or further.
type Pending struct {
	partition *partition
	job       *job
}

// Submit queues a write and does not wait for its answer: that is for Pending.Wait, which
// must be called once. Writes to one key are applied in the order in which they were
// submitted. If there is no place in the queue, Submit waits for one, at most as long as
// patience, and then returns ErrQueueFull. Settings.Timeout begins when the write has its
// place. All writes of Submit together take at most half of the queue.
func (e *Engine) Submit(ctx context.Context, w store.Write, patience time.Duration) (Pending, error) {
	settings := e.settings.Load()
	p, _, err := e.partitionOf(ctx, settings, w.Key)
	if err != nil {
		return Pending{}, err
	}
	j := p.queue.newJob(w, settings.Timeout, nil)
	j.isBulk = true
	most := queueBounds{settings.MaxQueueJobs, settings.MaxQueueBytes}
	if err := p.queue.admit(ctx, j, most, patience); err != nil {
		p.queue.recycle(j)
		return Pending{}, err
	}
	return Pending{p, j}, nil
}

// Wait returns the answer to a write, as Engine.Write does. If ctx ends before the worker
// has taken the write, it is not applied.
func (p Pending) Wait(ctx context.Context) (store.Result, error) {
	return p.partition.await(ctx, p.job)
}

// IsAnswered reports whether Wait returns at once.
func (p Pending) IsAnswered() bool { return len(p.job.done) > 0 }

// admit puts j, at once or when there is a place, and wakes the worker.
func (q *queue) admit(ctx context.Context, j *job, most queueBounds, patience time.Duration) error {
	a, err := q.ask(j, most)
	if err != nil || a == nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-a.ready:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = ErrQueueFull
	}
	if q.leave(a) {
		return err
	}
	return <-a.ready // it was answered at the same moment
}

// ask puts j, or returns an admission that waits.
func (q *queue) ask(j *job, most queueBounds) (*admission, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	if q.bulk.line.Len() == 0 && q.fitsBulk(&j.write, most) {
		q.append(j)
		q.signal()
		return nil, nil
	}
	a := &admission{queue: q, job: j, most: most, ready: make(chan error, 1)}
	a.place = q.bulk.line.PushBack(a)
	return a, nil
}

// fitsBulk is fits for a write of Submit. A write that is larger than half of the bytes has
// its place alone.
func (r *room) fitsBulk(w *store.Write, most queueBounds) bool {
	return r.fits(w, most) && r.bulk.jobs < max(1, most.jobs/bulkShare) &&
		(r.bulk.bytes == 0 || r.bulk.bytes+heldBytes(w) <= most.bytes/bulkShare)
}

// admitWaiting gives places to waiting jobs, the one that came first before the others.
func (r *room) admitWaiting() {
	for e := r.bulk.line.Front(); e != nil; e = r.bulk.line.Front() {
		a := e.Value.(*admission)
		switch {
		case a.queue.closed:
			r.answer(a, ErrClosed)
		case r.fitsBulk(&a.job.write, a.most):
			a.job.restart()
			a.queue.append(a.job)
			a.queue.signal()
			r.answer(a, nil)
		default:
			return
		}
	}
}

func (r *room) answer(a *admission, err error) {
	r.bulk.line.Remove(a.place)
	a.place = nil
	a.ready <- err
}

// leave gives up waiting. It reports false if a does not wait any more.
func (r *room) leave(a *admission) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.place == nil {
		return false
	}
	r.bulk.line.Remove(a.place)
	a.place = nil
	r.admitWaiting() // the next one may be smaller
	return true
}

// restart gives a job its whole time again.
func (j *job) restart() {
	j.deadline = time.Now().Add(j.timeout)
	j.timer.Reset(j.timeout)
}
