package redisstore

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
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
	down    atomic.Bool
	tripped atomic.Bool
}

func newBreaker(logger *zap.Logger) *breaker {
	b := new(breaker)
	b.circuit = gobreaker.NewCircuitBreaker[[]any](gobreaker.Settings{
		Timeout:      probeEvery,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool { return err == nil || isReply(err) && !isPassing(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errHurried) && !b.down.Load() },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.tripped.Store(true)
				if !b.down.Swap(true) {
					logger.Warn("Redis does not answer; what needs it is refused until it does")
				}
			case gobreaker.StateClosed:
				if b.down.Swap(false) {
					logger.Info("Redis answers again")
				}
			}
		},
	})
	return b
}

// do runs f, or fails with an error of which isOpen is true. It reports
// whether the breaker tripped since it was last asked.
func (b *breaker) do(f func() ([]any, error)) (reply []any, tripped bool, err error) {
	reply, err = b.circuit.Execute(f)
	return reply, err != nil && b.tripped.Swap(false), err
}

func isOpen(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// Breaker returns "closed" while Redis is asked, "open" while it is known to be
// down, and "half-open" while one call tries whether it is back.
func (s *Store) Breaker() string { return s.breaker.circuit.State().String() }
