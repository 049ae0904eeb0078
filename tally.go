package redisproxy

import (
	"math/bits"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// operation is what a request asks for.
type operation uint8

const (
	opOther operation = iota // OPTIONS, unknown methods, paths that miss the prefix or were garbled
	opGet                    // GET and HEAD
	opBatchGet
	opPost
	opPut
	opDelete
	operations
)

var operationNames = [operations]string{
	opOther: "other", opGet: "get", opBatchGet: "batch_get", opPost: "post", opPut: "put", opDelete: "delete",
}

func operationOf(method string, where place) operation {
	if where < collection {
		return opOther
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		if where == collection {
			return opBatchGet
		}
		return opGet
	case http.MethodPost:
		return opPost
	case http.MethodPut:
		return opPut
	case http.MethodDelete:
		return opDelete
	}
	return opOther
}

// methodsOf returns the methods that ask for it.
func methodsOf(op operation) methodSet {
	switch op {
	case opGet, opBatchGet:
		return methodGet | methodHead
	case opPost:
		return methodPost
	case opPut:
		return methodPut
	case opDelete:
		return methodDelete
	}
	return 0
}

// outcome is how a request was answered.
type outcome uint8

const (
	outcomeFailed outcome = iota // in a way that has no name: 500

	// Reads. A batch read is local if all of it was; its keys may be absent.
	outcomeLocal
	outcomeStore
	outcomeStale    // stale_if_error
	outcomeAbsent   // also a DELETE
	outcomeNotLocal // only-if-cached

	outcomeCreated
	outcomeReplaced
	outcomeDeleted
	outcomeConflict

	outcomePreconditionFailed
	outcomeBadRequest
	outcomeBadPath
	outcomeForbidden
	outcomeNotAllowed
	outcomeTooLarge
	outcomeUnsupportedType
	outcomeSlowBody
	outcomeClientGone

	outcomeQueueFull
	outcomeTimedOut
	outcomeUnavailable
	outcomeRefused
	outcomeUnknown // a write that may have been applied
	outcomeClosed

	outcomeOptions
	outcomes
)

var outcomeNames = [outcomes]string{
	outcomeFailed: "failed", outcomeLocal: "local", outcomeStore: "store", outcomeStale: "stale", outcomeAbsent: "absent", outcomeNotLocal: "not_local",
	outcomeCreated: "created", outcomeReplaced: "replaced", outcomeDeleted: "deleted", outcomeConflict: "conflict",
	outcomePreconditionFailed: "precondition_failed", outcomeBadRequest: "bad_request", outcomeBadPath: "bad_path", outcomeForbidden: "forbidden", outcomeNotAllowed: "not_allowed",
	outcomeTooLarge: "too_large", outcomeUnsupportedType: "unsupported_type", outcomeSlowBody: "slow_body", outcomeClientGone: "client_gone",
	outcomeQueueFull: "queue_full", outcomeTimedOut: "timeout", outcomeUnavailable: "unavailable", outcomeRefused: "refused",
	outcomeUnknown: "unknown", outcomeClosed: "closed", outcomeOptions: "options",
}

// isError reports whether the service failed, not the client.
func (o outcome) isError() bool {
	switch o {
	case outcomeFailed, outcomeQueueFull, outcomeTimedOut, outcomeUnavailable, outcomeRefused, outcomeUnknown, outcomeClosed:
		return true
	}
	return false
}

// isPossible reports whether an operation can end in an error of the service:
// reads neither queue nor change anything.
func (o outcome) isPossible(op operation) bool {
	isRead := op == opGet || op == opBatchGet
	return !isRead || o != outcomeQueueFull && o != outcomeUnknown
}

// durationBounds are in seconds; answers of the local tier take microseconds.
var durationBounds = [...]float64{.000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

var durationLimits = func() (limits [len(durationBounds)]time.Duration) {
	for i, bound := range durationBounds {
		limits[i] = time.Duration(bound * float64(time.Second))
	}
	return limits
}()

// tally counts requests. Requests on different cores would slow each other down
// by counting in one place, so that there are several, of which each takes one
// by chance.
type tally struct {
	since   time.Time
	mask    uint32
	stripes []stripe
}

type stripe struct {
	requests  [operations][outcomes]atomic.Uint64
	durations [operations]durations
	noCache   atomic.Uint64
	_         [64]byte // keeps the next one off this one's cache line
}

type durations struct {
	counts [len(durationBounds) + 1]atomic.Uint64
	sum    atomic.Uint64 // nanoseconds
}

func newTally() *tally {
	n := 1 << bits.Len(uint(4*runtime.GOMAXPROCS(0)-1))
	return &tally{since: time.Now(), mask: uint32(n - 1), stripes: make([]stripe, n)}
}

// now is the time since the tally began, which is cheaper to tell than the time
// of day.
func (t *tally) now() time.Duration { return time.Since(t.since) }

func (t *tally) add(op operation, o outcome, noCache bool, took time.Duration) {
	s := &t.stripes[rand.Uint32()&t.mask]
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

// requestCounts are what a tally has counted.
type requestCounts struct {
	requests  [operations][outcomes]uint64
	durations [operations]engine.Histogram
	noCache   uint64
}

func (t *tally) counts() *requestCounts {
	c := new(requestCounts)
	for op := range c.durations {
		c.durations[op] = engine.Histogram{Bounds: durationBounds[:], Counts: make([]uint64, len(durationBounds)+1)}
	}
	for i := range t.stripes {
		s := &t.stripes[i]
		for op := range operations {
			for o := range outcomes {
				c.requests[op][o] += s.requests[op][o].Load()
			}
			d, sum := &s.durations[op], &c.durations[op]
			for b := range d.counts {
				sum.Counts[b] += d.counts[b].Load()
			}
			sum.Sum += time.Duration(d.sum.Load()).Seconds()
		}
		c.noCache += s.noCache.Load()
	}
	return c
}
