package redisstore

import (
	"maps"
	"sync"

	"github.com/sony/gobreaker/v2"
)

// Stats is what a store has done since it was made, and its state now.
type Stats struct {
	// Retries counts calls that were sent again, by kind; see RetryKinds.
	Retries map[string]uint64 `json:"retries"`
	// Breaker is one of BreakerStates.
	Breaker string `json:"breaker"`
	// Mended counts disagreements between the structures of the namespace that
	// were repaired.
	Mended uint64 `json:"mended"`
	// ClientRenewals counts how often all connections were given up for new
	// ones, since none could be made or the server was read-only.
	ClientRenewals uint64 `json:"client_renewals"`
}

const (
	retryBusy        = "busy"
	retryForgotten   = "forgotten"
	retryNoAnswer    = "no_answer"
	retryUnreachable = "unreachable"
)

// RetryKinds are the reasons for which a call is sent again: the server is
// loading or has no master; it does not know the writer any more; no answer
// came; there is no connection, or it is known that the server is down.
var RetryKinds = []string{retryBusy, retryForgotten, retryNoAnswer, retryUnreachable}

// retryKind returns the one of RetryKinds that a try's error leads to.
func retryKind(err error) string {
	switch {
	case isForgotten(err):
		return retryForgotten
	case isOpen(err), isUnsent(err):
		return retryUnreachable
	case isPassing(err):
		return retryBusy
	default:
		return retryNoAnswer
	}
}

// BreakerStates say whether calls are let through: all, one to see, or none.
var BreakerStates = []string{
	gobreaker.StateClosed.String(), gobreaker.StateHalfOpen.String(), gobreaker.StateOpen.String(),
}

// Stats does not call Redis.
func (s *Store) Stats() Stats {
	return Stats{
		Retries:        s.retries.snapshot(),
		Breaker:        s.Breaker(),
		Mended:         s.Mended(),
		ClientRenewals: s.renewals.Load(),
	}
}

// retries counts by kind.
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
