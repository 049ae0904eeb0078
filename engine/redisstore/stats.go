package redisstore

import (
	"maps"
	"sync"

	"github.com/sony/gobreaker/v2"
)

// Stats counts what a store has done since it was made, and describes its state.
type Stats struct {
	// Retries counts calls that were sent again, by kind; see RetryKinds.
	Retries map[string]uint64 `json:"retries"`
	// Breaker is one of BreakerStates.
	Breaker string `json:"breaker"`
	// Mended counts repaired disagreements between the keys of the namespace.
	Mended uint64 `json:"mended"`
	// ClientRenewals counts how often all connections were replaced, since no connection
	// could be made or the server was read-only.
	ClientRenewals uint64 `json:"client_renewals"`
}

const (
	retryBusy        = "busy"
	retryForgotten   = "forgotten"
	retryNoAnswer    = "no_answer"
	retryUnreachable = "unreachable"
)

// RetryKinds lists the reasons to send a call again: busy, the server loads its data, has
// no primary or no free connection; forgotten, it does not know the writer any more;
// no_answer; unreachable, there is no connection, or the server is known to be down.
var RetryKinds = []string{retryBusy, retryForgotten, retryNoAnswer, retryUnreachable}

// retryKind returns the kind of retry for the error of a try.
func retryKind(err error) string {
	switch {
	case isForgotten(err):
		return retryForgotten
	case isOpen(err), isUnsent(err):
		return retryUnreachable
	case isPassing(err), isMoving(err):
		return retryBusy
	default:
		return retryNoAnswer
	}
}

// BreakerStates lists the states of the circuit breaker: all calls reach Redis, one tries
// whether Redis is back, or none.
var BreakerStates = []string{
	gobreaker.StateClosed.String(), gobreaker.StateHalfOpen.String(), gobreaker.StateOpen.String(),
}

// Stats returns the counters and the state of the store. It does not call Redis.
func (s *Store) Stats() Stats {
	return Stats{
		Retries:        s.retries.snapshot(),
		Breaker:        s.Breaker(),
		Mended:         s.Mended(),
		ClientRenewals: s.renewals.Load(),
	}
}

// retries counts retries by kind.
type retries struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (r *retries) add(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]uint64)
	}
	r.counts[kind]++
}

func (r *retries) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		return map[string]uint64{}
	}
	return maps.Clone(r.counts)
}
