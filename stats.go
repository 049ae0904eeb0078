package redisproxy

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// cacheStats is what a cache has done since its engine was made.
type cacheStats struct {
	Since time.Time `json:"since"`
	// Requests are by operation and outcome, Durations by operation, in seconds.
	// What never happened is not there.
	Requests        map[string]map[string]uint64 `json:"requests"`
	Durations       map[string]engine.Histogram  `json:"durations"`
	NoCacheRequests uint64                       `json:"no_cache_requests"`
	bodyStats
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
		bodyStats:       p.arrivals.stats(),
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
