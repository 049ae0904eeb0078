package running

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// Stats counts what a cache has done since it was created.
type Stats struct {
	Since time.Time
	// Requests are by operation and outcome. Durations are by operation, in seconds.
	// Both leave out operations and outcomes that never happened.
	Requests        map[string]map[string]uint64
	Durations       map[string]engine.Histogram
	NoCacheRequests uint64
	Bodies          BodyStats
	BulkRequests    int64 // that are running
	Engine          engine.Stats
}

// Stats returns the counters of the cache. It does not call the store.
func (c *Cache) Stats() Stats {
	counts := c.Requests.Counts()
	s := Stats{
		Since:           c.Requests.Since,
		Requests:        make(map[string]map[string]uint64),
		Durations:       make(map[string]engine.Histogram),
		NoCacheRequests: counts.NoCache,
		Bodies:          c.Bodies.Stats(),
		BulkRequests:    c.Bulk.Streams(),
		Engine:          c.Engine.Stats(),
	}
	for op, byOutcome := range counts.Requests {
		name := OperationNames[op]
		for o, n := range byOutcome {
			if n == 0 {
				continue
			}
			if s.Requests[name] == nil {
				s.Requests[name] = make(map[string]uint64)
				s.Durations[name] = counts.Durations[op]
			}
			s.Requests[name][OutcomeNames[o]] = n
		}
	}
	return s
}

// Totals returns a sample that counts from the creation of the cache.
func (c *Cache) Totals() Sample {
	counts, stats := c.Requests.Counts(), c.Engine.Stats()
	s := Sample{
		At:           time.Now(),
		StoreSeconds: stats.Fetches.Duration.Sum + stats.Applies.Duration.Sum,
		StoreCalls:   stats.Fetches.Calls + stats.Applies.Calls,
		Evicted:      stats.Evicted,
	}
	for op, byOutcome := range counts.Requests {
		isRead := Operation(op).isRead()
		for o, n := range byOutcome {
			switch o := Outcome(o); {
			case o.isError():
				s.Errors += n
			case !isRead:
				if o == OutcomeCreated || o == OutcomeReplaced || o == OutcomeDeleted {
					s.Writes += n
				}
			case o == OutcomeLocal:
				s.Local += n
			case o == OutcomeStore:
				s.Store += n
			case o == OutcomeAbsent:
				s.Absent += n
			case o == OutcomeStale:
				s.Stale += n
			}
		}
	}
	return s
}
