package redisproxy

import (
	"sync"
	"time"
)

const (
	sampleEvery = 5 * time.Second
	mostSamples = 120
)

// historyView is the last ten minutes of a cache.
type historyView struct {
	IntervalSeconds int      `json:"interval_seconds"`
	Samples         []sample `json:"samples"` // oldest first
}

// sample is what happened in the interval before At.
type sample struct {
	At     time.Time `json:"at"`
	Local  uint64    `json:"local"`
	Store  uint64    `json:"store"`
	Absent uint64    `json:"absent"`
	Stale  uint64    `json:"stale"`
	Writes uint64    `json:"writes"`
	Errors uint64    `json:"errors"`
	// StoreSeconds is how long StoreCalls took together.
	StoreSeconds float64 `json:"store_seconds"`
	StoreCalls   uint64  `json:"store_calls"`
	Evicted      uint64  `json:"evicted"`
}

// since returns what happened between two samples of totals.
func (s sample) since(earlier sample) sample {
	return sample{
		At:           s.At,
		Local:        s.Local - earlier.Local,
		Store:        s.Store - earlier.Store,
		Absent:       s.Absent - earlier.Absent,
		Stale:        s.Stale - earlier.Stale,
		Writes:       s.Writes - earlier.Writes,
		Errors:       s.Errors - earlier.Errors,
		StoreSeconds: s.StoreSeconds - earlier.StoreSeconds,
		StoreCalls:   s.StoreCalls - earlier.StoreCalls,
		Evicted:      s.Evicted - earlier.Evicted,
	}
}

// history samples an engine until it is stopped.
type history struct {
	totals func() sample
	end    chan struct{}
	ended  chan struct{}

	mu      sync.Mutex
	last    sample // of totals
	samples []sample
}

func startHistory(totals func() sample) *history {
	h := &history{totals: totals, end: make(chan struct{}), ended: make(chan struct{}), last: totals()}
	go h.run()
	return h
}

func (h *history) run() {
	defer close(h.ended)
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-h.end:
			return
		case <-ticker.C:
			h.take()
		}
	}
}

func (h *history) take() {
	totals := h.totals()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == mostSamples {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, totals.since(h.last))
	h.last = totals
}

func (h *history) stop() {
	close(h.end)
	<-h.ended
}

func (h *history) view() historyView {
	h.mu.Lock()
	defer h.mu.Unlock()
	return historyView{IntervalSeconds: int(sampleEvery / time.Second), Samples: append([]sample{}, h.samples...)}
}

// totals is a sample of all that has happened.
func (p *pooledEngine) totals() sample {
	counts, stats := p.requests.counts(), p.engine.Stats()
	s := sample{
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
