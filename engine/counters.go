package engine

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// waitTimes is a histogram of how long jobs waited for the worker.
type waitTimes struct {
	mu        sync.Mutex
	histogram Histogram
}

func newWaitTimes() *waitTimes { return &waitTimes{histogram: newHistogram(durationBounds)} }

func (w *waitTimes) add(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range jobs {
		w.histogram.add((j.timeout - j.deadline.Sub(now)).Seconds())
	}
}

func (w *waitTimes) snapshot() Histogram {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.histogram.clone()
}

// calls counts calls of one kind to the store. Only a few run at once, so one lock
// is enough.
type calls struct {
	mu    sync.Mutex
	calls Calls
}

func newCalls() *calls {
	return &calls{calls: Calls{
		Errors:   make(map[string]uint64),
		Duration: newHistogram(durationBounds),
		Size:     newHistogram(sizeBounds),
	}}
}

func (c *calls) add(took time.Duration, size int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls.Calls++
	c.calls.Duration.add(took.Seconds())
	c.calls.Size.add(float64(size))
	if err != nil {
		c.calls.Errors[failureName(kindOfCall(err), err)]++
	}
}

func (c *calls) snapshot() Calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.calls
	s.Errors = maps.Clone(s.Errors)
	s.Duration, s.Size = s.Duration.clone(), s.Size.clone()
	return s
}

// lastEvictions is how many evicted keys are kept for Stats.
const lastEvictions = 20

// evictions counts the entries that the store evicted.
type evictions struct {
	mu     sync.Mutex
	count  uint64
	unread uint64
	last   []Eviction
}

func (e *evictions) add(keys []string, unread int) {
	if len(keys) == 0 {
		return
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count += uint64(len(keys))
	e.unread += uint64(unread)
	for _, key := range keys[max(0, len(keys)-lastEvictions):] {
		e.last = append(e.last, Eviction{key, now})
	}
	e.last = slices.Delete(e.last, 0, max(0, len(e.last)-lastEvictions))
}

func (e *evictions) snapshot() (count, unread uint64, last []Eviction) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count, e.unread, append([]Eviction{}, e.last...)
}
