package running

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// durationBounds are in seconds; answers of the local tier take microseconds.
var durationBounds = [...]float64{.000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

var durationLimits = func() (limits [len(durationBounds)]time.Duration) {
	for i, bound := range durationBounds {
		limits[i] = time.Duration(bound * float64(time.Second))
	}
	return limits
}()

// RequestCounters count requests. One place for all counts would slow down requests on
// different cores. So there are several stripes, and each request takes a random one.
type RequestCounters struct {
	Since   time.Time
	mask    uint32
	stripes []stripe
}

type stripe struct {
	requests  [numOperations][numOutcomes]atomic.Uint64
	durations [numOperations]durations
	noCache   atomic.Uint64
	_         [64]byte // keeps the next one off this one's cache line
}

type durations struct {
	counts [len(durationBounds) + 1]atomic.Uint64
	sum    atomic.Uint64 // nanoseconds
}

// NewRequestCounters returns counters that begin at 0.
func NewRequestCounters() *RequestCounters {
	n := 1 << bits.Len(uint(4*runtime.GOMAXPROCS(0)-1))
	return &RequestCounters{Since: time.Now(), mask: uint32(n - 1), stripes: make([]stripe, n)}
}

// Elapsed returns the time since the counters began. It is cheaper than the time of day.
func (r *RequestCounters) Elapsed() time.Duration { return time.Since(r.Since) }

// Add counts a request.
func (r *RequestCounters) Add(op Operation, o Outcome, noCache bool, took time.Duration) {
	s := &r.stripes[rand.Uint32()&r.mask]
	s.requests[op][o].Add(1)
	d := &s.durations[op]
	i := 0
	for i < len(durationLimits) && took > durationLimits[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(uint64(took))
	if noCache {
		s.noCache.Add(1)
	}
}

// RequestCounts are the counts of RequestCounters at one time.
type RequestCounts struct {
	Requests  [numOperations][numOutcomes]uint64
	Durations [numOperations]engine.Histogram
	NoCache   uint64
}

// Counts returns the counts so far.
func (r *RequestCounters) Counts() *RequestCounts {
	c := new(RequestCounts)
	for op := range c.Durations {
		c.Durations[op] = engine.Histogram{Bounds: durationBounds[:], Counts: make([]uint64, len(durationBounds)+1)}
	}
	for i := range r.stripes {
		s := &r.stripes[i]
		for op := range numOperations {
			for o := range numOutcomes {
				c.Requests[op][o] += s.requests[op][o].Load()
			}
			d, sum := &s.durations[op], &c.Durations[op]
			for b := range d.counts {
				sum.Counts[b] += d.counts[b].Load()
			}
			sum.Sum += time.Duration(d.sum.Load()).Seconds()
		}
		c.NoCache += s.noCache.Load()
	}
	return c
}
