package redisproxy

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// cacheStats is what a cache has done since its engine was made.
type cacheStats struct {
	Since time.Time `json:"since"`
	// Requests are by operation and outcome, Durations by operation, in seconds.
	// What never happened is not there.
	Requests        map[string]map[string]uint64 `json:"requests"`
	Durations       map[string]engine.Histogram  `json:"durations"`
	NoCacheRequests uint64                       `json:"no_cache_requests"`
	running.BodyStats
	engine.Stats
}

// stats does not call the store.
func (p *pooledEngine) stats() cacheStats {
	counts := p.requests.Counts()
	s := cacheStats{
		Since:           p.requests.Since,
		Requests:        make(map[string]map[string]uint64),
		Durations:       make(map[string]engine.Histogram),
		NoCacheRequests: counts.NoCache,
		BodyStats:       p.arrivals.Stats(),
		Stats:           p.engine.Stats(),
	}
	for op, byOutcome := range counts.Requests {
		name := running.OperationNames[op]
		for o, n := range byOutcome {
			if n == 0 {
				continue
			}
			if s.Requests[name] == nil {
				s.Requests[name] = make(map[string]uint64)
				s.Durations[name] = counts.Durations[op]
			}
			s.Requests[name][running.OutcomeNames[o]] = n
		}
	}
	return s
}

// totals is a sample of all that has happened.
func (p *pooledEngine) totals() running.Sample {
	counts, stats := p.requests.Counts(), p.engine.Stats()
	s := running.Sample{
		At:           time.Now(),
		StoreSeconds: stats.Fetches.Duration.Sum + stats.Applies.Duration.Sum,
		StoreCalls:   stats.Fetches.Calls + stats.Applies.Calls,
		Evicted:      stats.Evicted,
	}
	for op, byOutcome := range counts.Requests {
		isRead := running.Operation(op) == running.OpGet || running.Operation(op) == running.OpBatchGet
		for o, n := range byOutcome {
			switch o := running.Outcome(o); {
			case o.IsError():
				s.Errors += n
			case !isRead:
				if o == running.OutcomeCreated || o == running.OutcomeReplaced || o == running.OutcomeDeleted {
					s.Writes += n
				}
			case o == running.OutcomeLocal:
				s.Local += n
			case o == running.OutcomeStore:
				s.Store += n
			case o == running.OutcomeAbsent:
				s.Absent += n
			case o == running.OutcomeStale:
				s.Stale += n
			}
		}
	}
	return s
}
