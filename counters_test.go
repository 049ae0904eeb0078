package redisproxy

import (
	"sync"
	"testing"
	"time"
)

func TestRequestsAreCountedFromManyGoroutines(t *testing.T) {
	counters := newRequestCounters()
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 1000 {
				counters.add(opGet, outcomeLocal, false, 5*time.Microsecond)
				counters.add(opPost, outcomeCreated, true, time.Minute)
			}
		})
	}
	running.Wait()
	c := counters.counts()
	if c.requests[opGet][outcomeLocal] != 8000 || c.requests[opPost][outcomeCreated] != 8000 || c.noCache != 8000 {
		t.Errorf("%v, %d without the local tier", c.requests, c.noCache)
	}
	// A value that is a bound lies within it, and one beyond all in the last.
	get, post := c.durations[opGet], c.durations[opPost]
	if get.Counts[0] != 8000 || post.Counts[len(post.Counts)-1] != 8000 {
		t.Errorf("%v, %v", get.Counts, post.Counts)
	}
	if post.Sum != 8000*60 {
		t.Errorf("the sum is %v", post.Sum)
	}
}

func BenchmarkRequestCounters(b *testing.B) {
	r := newRequestCounters()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			begin := r.now()
			r.add(opGet, outcomeLocal, false, r.now()-begin)
		}
	})
}
