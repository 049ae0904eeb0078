package running

import (
	"sync"
	"testing"
	"time"
)

func TestRequestsAreCountedFromManyGoroutines(t *testing.T) {
	counters := NewRequestCounters()
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 1000 {
				counters.Add(OpGet, OutcomeLocal, false, 5*time.Microsecond)
				counters.Add(OpPost, OutcomeCreated, true, time.Minute)
			}
		})
	}
	running.Wait()
	c := counters.Counts()
	if c.Requests[OpGet][OutcomeLocal] != 8000 || c.Requests[OpPost][OutcomeCreated] != 8000 || c.NoCache != 8000 {
		t.Errorf("%v, %d without the local tier", c.Requests, c.NoCache)
	}
	// A duration equal to a bound counts below it. The last bucket has no bound.
	get, post := c.Durations[OpGet], c.Durations[OpPost]
	if get.Counts[0] != 8000 || post.Counts[len(post.Counts)-1] != 8000 {
		t.Errorf("%v, %v", get.Counts, post.Counts)
	}
	if post.Sum != 8000*60 {
		t.Errorf("the sum is %v", post.Sum)
	}
}

func BenchmarkRequestCounters(b *testing.B) {
	r := NewRequestCounters()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			begin := r.Elapsed()
			r.Add(OpGet, OutcomeLocal, false, r.Elapsed()-begin)
		}
	})
}
