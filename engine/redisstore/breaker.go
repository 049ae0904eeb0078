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
	// tripAfter is how many tries in a row must fail for Redis to be known to
	// be down. The first five tries of a call take 30 ms when a connection is
	// refused.
	tripAfter = 5
	// probeEvery is how long no call is tried then, before one is let through
	// to see whether Redis is back.
	probeEvery = 250 * time.Millisecond
)

// errHurried marks the time-out of a try that had less than evidence. When
// writes wait almost as long as they may, every batch comes with little time
// left; that Redis did not answer in it does not mean that it is down. Nor is
// it a sign that it is back.
var errHurried = errors.New("too little time was left")

const evidence = 20 * time.Millisecond

// breaker fails calls at once while Redis is known to be down.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[[]any]
	logger  *zap.Logger
	down    atomic.Bool
	tripped atomic.Bool
	last    atomic.Pointer[error] // the last try's
}

func newBreaker(logger *zap.Logger) *breaker {
	b := &breaker{logger: logger}
	b.circuit = gobreaker.NewCircuitBreaker[[]any](gobreaker.Settings{
		Timeout:      probeEvery,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: b.note,
		// Who cancels a call says nothing about Redis.
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

// note reports whether a try shows that Redis answers, and says so if it was
// known to be down. One that answers is enough, also for the circuit.
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

// lose makes it known that Redis is down.
func (b *breaker) lose() {
	if !b.down.Swap(true) {
		b.logger.Warn("Redis does not answer; what needs it is refused until it does", errorFields(*b.last.Load())...)
	}
}

// do runs f, or fails with an error of which isOpen is true. It reports
// whether the breaker tripped since it was last asked.
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

// Breaker returns "closed" while Redis is asked, "open" while it is known to be
// down, and "half-open" while one call tries whether it is back.
func (s *Store) Breaker() string { return s.breaker.circuit.State().String() }
