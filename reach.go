package redisproxy

import (
	"math"
	"sync/atomic"
)

const (
	// passedUntilWarned is how many requests a handler passes on, and answers
	// none, before it says so: Caddy answers what nobody takes with an empty 200.
	passedUntilWarned = 100

	// isSettled is so far below 0 that late additions do not reach it.
	isSettled = math.MinInt32 / 2
)

// reach notices a handler that its requests never reach. Once that is known, or
// known not to be so, noticing costs no more than reading a number.
type reach struct {
	passed atomic.Int32 // negative when there is nothing more to notice
}

func (r *reach) answered() {
	if r.passed.Load() >= 0 {
		r.passed.Store(isSettled)
	}
}

// passedOn reports whether it is time to warn, which it is once at most.
func (r *reach) passedOn() bool {
	if r.passed.Load() < 0 || r.passed.Add(1) != passedUntilWarned {
		return false
	}
	r.passed.Store(isSettled)
	return true
}
