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
	timeout  time.Duration // from arrival to deadline
	timer    *time.Timer   // fires at the deadline
	place    *list.Element // in the queue; nil once taken or withdrawn
	span     *span         // of the call
	isBulk   bool          // came by Submit

	done   chan struct{} // gets a token once the fields below are set
	result store.Result
	err    error
}

// finish answers the job. The job then belongs to the call alone. The caller of Submit may
// look at it much later, and nothing counts the memory of the value any more.
func (j *job) finish(r store.Result, err error) {
	j.result, j.err = r, err
	j.write.Value = store.Value{}
	j.done <- struct{}{}
}

// heldBytes returns the memory that a waiting write needs: the bytes that count against
// the limits of the store, its content type, and its conditions, which may name many
// versions.
func heldBytes(w *store.Write) int64 {
	return w.Size() + int64(len(w.Value.ContentType)+len(w.IfMatch)+len(w.IfNoneMatch))
}

// queueBounds bound the jobs in the queue, and their bytes.
type queueBounds struct {
	jobs  int
	bytes int64
}

// room is what all queues of an engine share: the lock, the jobs that count against the
// bounds, and their bytes.
type room struct {
	free  sync.Pool // of *job
	waits *waitTimes

	mu    sync.Mutex
	jobs  int
	bytes int64
	bulk  bulkRoom
}

func newRoom() *room { return &room{waits: newWaitTimes()} }

// queue holds the writes to a partition that wait for their turn, in arrival order. Jobs
// that were taken need memory too, so they count against the bounds until they are
// answered.
type queue struct {
	*room
	wake chan struct{} // gets a token when the worker's goroutine should look

	// mu of room guards the fields below.
	waiting list.List // of *job
	closed  bool
}

func newQueue(r *room) *queue { return &queue{room: r, wake: make(chan struct{}, 1)} }

// newJob returns a job whose timer runs. Jobs are reused with their channels and
// timers, which would otherwise be much of the garbage of a write.
func (r *room) newJob(w store.Write, timeout time.Duration, s *span) *job {
	j, _ := r.free.Get().(*job)
	if j == nil {
		j = &job{timer: time.NewTimer(timeout), done: make(chan struct{}, 1)}
	} else {
		j.timer.Reset(timeout)
	}
	j.write, j.deadline, j.timeout, j.span = w, time.Now().Add(timeout), timeout, s
	return j
}

// recycle takes back a job for reuse. Only the caller may hold it.
func (r *room) recycle(j *job) {
	j.timer.Stop()
	*j = job{timer: j.timer, done: j.done}
	r.free.Put(j)
}

// signal wakes the worker's goroutine.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// put appends j, or returns ErrQueueFull if that would exceed a bound. It wakes nobody:
// the caller leads (see worker).
func (q *queue) put(j *job, most queueBounds) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if !q.fits(&j.write, most) {
		return ErrQueueFull
	}
	q.append(j)
	return nil
}

// fits reports whether another write exceeds no bound.
func (r *room) fits(w *store.Write, most queueBounds) bool {
	// Settings allow values as large as the bound. So an empty queue takes a write that
	// exceeds the bound only by its content type and conditions.
	isTaken := r.bytes+heldBytes(w) <= most.bytes || r.bytes == 0 && w.Size() <= most.bytes
	return r.jobs < most.jobs && isTaken
}

// append puts j behind the waiting jobs.
func (q *queue) append(j *job) {
	q.count(j, 1)
	j.place = q.waiting.PushBack(j)
}

// count begins to count a job against the bounds (by 1), or stops (by -1).
func (r *room) count(j *job, by int) {
	size := int64(by) * heldBytes(&j.write)
	r.jobs += by
	r.bytes += size
	if j.isBulk {
		r.bulk.jobs += by
		r.bulk.bytes += size
	}
}

// take removes the next jobs: at most their share of the waiting ones, and at most
// maxJobs and maxBytes, which one job alone may exceed. The jobs count against the
// bounds of the queue until release. take answers jobs with too little time left with
// ErrTimeout. So many jobs as answered were just answered.
func (q *queue) take(maxJobs int, maxBytes int64, p *pace, answered int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.waiting.Front(); e != nil; e = q.waiting.Front() {
		j := e.Value.(*job)
		if time.Until(j.deadline) >= p.needs(j.timeout) {
			break
		}
		q.refuse(j, ErrTimeout)
	}
	maxJobs = min(maxJobs, p.share(q.waiting.Len(), answered))
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

// refuse removes j from the queue and answers it with err.
func (q *queue) refuse(j *job, err error) {
	q.unlink(j)
	q.count(j, -1)
	j.finish(store.Result{}, err)
	q.admitWaiting()
}

func (q *queue) unlink(j *job) {
	q.waiting.Remove(j.place)
	j.place = nil
}

// size returns the jobs and bytes that count against the bounds.
func (r *room) size() (jobs int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs, r.bytes
}

// release stops counting jobs that were taken.
func (r *room) release(jobs []*job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range jobs {
		r.count(j, -1)
	}
	r.admitWaiting()
}

// withdraw removes j. It reports false if j was taken already.
func (q *queue) withdraw(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.place == nil {
		return false
	}
	q.unlink(j)
	q.count(j, -1)
	q.admitWaiting()
	return true
}

// close makes put return ErrClosed.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.admitWaiting() // which now refuses the jobs that wait for a place in this queue
	q.signal()
}

// hasWaiting reports whether a job waits.
func (q *queue) hasWaiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.Len() > 0
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// abandon answers all waiting jobs with ErrClosed, and returns their number.
func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.waiting.Len()
	for e := q.waiting.Front(); e != nil; e = q.waiting.Front() {
		q.refuse(e.Value.(*job), ErrClosed)
	}
	return n
}
