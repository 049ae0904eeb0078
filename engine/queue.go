package engine

import (
	"container/list"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// job is a write on its way to the store.
type job struct {
	write    store.Write
	deadline time.Time
	timeout  time.Duration // the deadline counts from its arrival
	timer    *time.Timer   // runs out at the deadline
	place    *list.Element // in the queue; nil once taken or withdrawn
	span     *span         // of the call

	done   chan struct{} // has a token when the rest is set
	result store.Result
	err    error
}

// finish answers the job, which then belongs to the call alone.
func (j *job) finish(r store.Result, err error) {
	j.result, j.err = r, err
	j.done <- struct{}{}
}

// heldBytes is the memory that a waiting write needs: beside what it counts
// against the limits of the store, its content type, and conditions, which may
// name many versions.
func heldBytes(w *store.Write) int64 {
	return w.Size() + int64(len(w.Value.ContentType)+len(w.IfMatch)+len(w.IfNoneMatch))
}

// queueBounds are how many jobs, and how many bytes of them, may wait.
type queueBounds struct {
	jobs  int
	bytes int64
}

// queue holds the writes that wait for the worker, in arrival order. Its
// bounds count all that needs memory: also the jobs that the worker has taken,
// until they are answered.
type queue struct {
	wake  chan struct{} // has a token when there is something new to see
	waits *waitTimes
	free  sync.Pool // of *job

	mu      sync.Mutex
	waiting list.List // of *job
	jobs    int
	bytes   int64
	closed  bool
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1), waits: newWaitTimes()} }

// newJob returns a job whose time runs. Jobs, with their channels and timers,
// are used again: they would be much of the garbage of a write.
func (q *queue) newJob(w store.Write, timeout time.Duration, s *span) *job {
	j, _ := q.free.Get().(*job)
	if j == nil {
		j = &job{timer: time.NewTimer(timeout), done: make(chan struct{}, 1)}
	} else {
		j.timer.Reset(timeout)
	}
	j.write, j.deadline, j.timeout, j.span = w, time.Now().Add(timeout), timeout, s
	return j
}

// recycle takes a job back that nobody else has.
func (q *queue) recycle(j *job) {
	j.timer.Stop()
	*j = job{timer: j.timer, done: j.done}
	q.free.Put(j)
}

// signal makes the worker look.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// put appends j unless that would exceed a bound.
func (q *queue) put(j *job, most queueBounds) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	size := heldBytes(&j.write)
	// Alone, a write is taken that would fit without its content type and its
	// conditions: settings allow values as large as the bound.
	isTaken := q.bytes+size <= most.bytes || q.bytes == 0 && j.write.Size() <= most.bytes
	if q.jobs >= most.jobs || !isTaken {
		return ErrQueueFull
	}
	q.jobs++
	q.bytes += size
	j.place = q.waiting.PushBack(j)
	q.signal()
	return nil
}

// take removes the next jobs, at most their share of those that wait, and up to
// bounds that one job alone may exceed. They count until they are released. Those
// for which it is too late are answered with ErrTimeout.
func (q *queue) take(maxJobs int, maxBytes int64, p *pace) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.waiting.Front(); e != nil; e = q.waiting.Front() {
		j := e.Value.(*job)
		if time.Until(j.deadline) >= p.needs(j.timeout) {
			break
		}
		q.refuse(j, ErrTimeout)
	}
	maxJobs = min(maxJobs, p.share(q.waiting.Len()))
	taken := make([]*job, 0, min(maxJobs, q.waiting.Len()))
	var bytes int64
	for e := q.waiting.Front(); e != nil && len(taken) < maxJobs; e = q.waiting.Front() {
		j := e.Value.(*job)
		bytes += heldBytes(&j.write)
		if len(taken) > 0 && bytes > maxBytes {
			break
		}
		q.unlink(j)
		taken = append(taken, j)
	}
	q.waits.add(taken)
	return taken
}

// refuse takes j out of the queue and answers it.
func (q *queue) refuse(j *job, err error) {
	q.unlink(j)
	q.jobs--
	q.bytes -= heldBytes(&j.write)
	j.finish(store.Result{}, err)
}

func (q *queue) unlink(j *job) {
	q.waiting.Remove(j.place)
	j.place = nil
}

// size returns what counts against the bounds.
func (q *queue) size() (jobs int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs, q.bytes
}

// release ends the counting of jobs that were taken.
func (q *queue) release(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		q.jobs--
		q.bytes -= heldBytes(&j.write)
	}
}

// withdraw removes j, and reports whether the worker had not taken it.
func (q *queue) withdraw(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.place == nil {
		return false
	}
	q.unlink(j)
	q.jobs--
	q.bytes -= heldBytes(&j.write)
	return true
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// abandon answers all that wait with ErrClosed, and returns how many.
func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.waiting.Len()
	for e := q.waiting.Front(); e != nil; e = q.waiting.Front() {
		q.refuse(e.Value.(*job), ErrClosed)
	}
	return n
}
