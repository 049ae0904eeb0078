package redisproxy

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// figuresView is what a cache has done since its engine was made.
type figuresView struct {
	Since time.Time `json:"since"`
	// Requests are by operation and outcome, Durations by operation, in seconds.
	// What never happened is not there.
	Requests        map[string]map[string]uint64 `json:"requests"`
	Durations       map[string]engine.Histogram  `json:"durations"`
	NoCacheRequests uint64                       `json:"no_cache_requests"`
	bodyStats
	engine.Stats
}

// figures does not call the store.
func figures(p *pooledEngine) figuresView {
	counts := p.tally.counts()
	f := figuresView{
		Since:           p.tally.since,
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
			if f.Requests[name] == nil {
				f.Requests[name] = make(map[string]uint64)
				f.Durations[name] = counts.durations[op]
			}
			f.Requests[name][outcomeNames[o]] = n
		}
	}
	return f
}
