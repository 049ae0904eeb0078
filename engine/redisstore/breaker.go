package redisstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// tripAfter is how many tries in a row must fail until Redis counts as down. If
	// connections are refused, the first five tries of a call take 30 ms.
	tripAfter = 5
	// probeEvery is the time without tries after that. Then one call may try whether
	// Redis is back.
	probeEvery = 250 * time.Millisecond
)

// errHurried marks the time-out of a try that had less time than evidence. In an
// overload, writes wait almost as long as they may, and every batch has little time left.
// A time-out of such a try does not show that Redis is down, nor that it is back.
var errHurried = errors.New("too little time was left")

const evidence = 20 * time.Millisecond

// breaker fails calls at once while Redis is known to be down.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[[]any]
	logger  *zap.Logger
	down    atomic.Bool
	tripped atomic.Bool
	last    atomic.Pointer[error] // of the last failed try
}

func newBreaker(logger *zap.Logger) *breaker {
	b := &breaker{logger: logger}
	b.circuit = gobreaker.NewCircuitBreaker[[]any](gobreaker.Settings{
		Timeout:      probeEvery,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: b.note,
		// A canceled call says nothing about Redis.
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, errHurried) && !b.down.Load()
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.tripped.Store(true)
				b.lose()
			}
		},
	})
	return b
}

// note reports whether a try shows that Redis answers. If Redis was known to be down, it
// logs that Redis is back. One answer is enough, also for the circuit.
func (b *breaker) note(err error) bool {
	if err != nil && (!isReply(err) || isPassing(err)) {
		b.last.Store(&err)
		return false
	}
	if b.down.Swap(false) {
		b.logger.Info("Redis answers again")
	}
	return true
}

// lose notes and logs that Redis is down.
func (b *breaker) lose() {
	if !b.down.Swap(true) {
		b.logger.Warn("Redis does not answer; calls that need it are refused until it does", errorFields(*b.last.Load())...)
	}
}

// do runs f, or fails with an error for which isOpen is true. It also reports whether the
// breaker tripped since the last report.
func (b *breaker) do(f func() ([]any, error)) (reply []any, tripped bool, err error) {
	reply, err = b.circuit.Execute(f)
	if isOpen(err) {
		err = newOpenError(err, *b.last.Load())
	}
	return reply, err != nil && b.tripped.Swap(false), err
}

// openError says that Redis was not asked, and why the try before failed. It is
// none of the errors of that try.
type openError struct {
	state error // of the circuit
	text  string
}

// newOpenError returns an openError. It has the cause of last, if that is known.
func newOpenError(state, last error) error {
	caused, ok := errors.AsType[*store.CausedError](last)
	if !ok {
		return &openError{state, "the circuit breaker is open, since Redis does not answer: " + last.Error()}
	}
	open := &openError{state, caused.Err.Error() + " (the circuit breaker is open)"}
	return &store.CausedError{Cause: caused.Cause, Err: open, Advice: caused.Advice}
}

func (e *openError) Error() string { return e.text }

func (e *openError) Unwrap() error { return e.state }

func isOpen(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// Breaker returns the state of the circuit breaker: "closed" while calls reach Redis,
// "open" while Redis is known to be down, and "half-open" while one call tries whether it
// is back.
func (s *Store) Breaker() string { return s.breaker.circuit.State().String() }
