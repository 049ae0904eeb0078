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
	counts := p.requests.counts()
	s := cacheStats{
		Since:           p.requests.since,
		Requests:        make(map[string]map[string]uint64),
		Durations:       make(map[string]engine.Histogram),
		NoCacheRequests: counts.noCache,
		BodyStats:       p.arrivals.Stats(),
		Stats:           p.engine.Stats(),
	}
	for op, byOutcome := range counts.requests {
		name := operationNames[op]
		for o, n := range byOutcome {
			if n == 0 {
				continue
			}
			if s.Requests[name] == nil {
				s.Requests[name] = make(map[string]uint64)
				s.Durations[name] = counts.durations[op]
			}
			s.Requests[name][outcomeNames[o]] = n
		}
	}
	return s
}

// totals is a sample of all that has happened.
func (p *pooledEngine) totals() running.Sample {
	counts, stats := p.requests.counts(), p.engine.Stats()
	s := running.Sample{
		At:           time.Now(),
		StoreSeconds: stats.Fetches.Duration.Sum + stats.Applies.Duration.Sum,
		StoreCalls:   stats.Fetches.Calls + stats.Applies.Calls,
		Evicted:      stats.Evicted,
	}
	for op, byOutcome := range counts.requests {
		isRead := operation(op) == opGet || operation(op) == opBatchGet
		for o, n := range byOutcome {
			switch o := outcome(o); {
			case o.isError():
				s.Errors += n
			case !isRead:
				if o == outcomeCreated || o == outcomeReplaced || o == outcomeDeleted {
					s.Writes += n
				}
			case o == outcomeLocal:
				s.Local += n
			case o == outcomeStore:
				s.Store += n
			case o == outcomeAbsent:
				s.Absent += n
			case o == outcomeStale:
				s.Stale += n
			}
		}
	}
	return s
}
