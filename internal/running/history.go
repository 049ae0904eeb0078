package running

import (
	"sync"
	"time"
)

// SampleInterval is the time between two samples of a History, which keeps those of ten
// minutes.
const (
	SampleInterval = 5 * time.Second
	mostSamples    = 120
)

// Sample counts events in the interval before At.
type Sample struct {
	At     time.Time `json:"at"`
	Local  uint64    `json:"local"`
	Store  uint64    `json:"store"`
	Absent uint64    `json:"absent"`
	Stale  uint64    `json:"stale"`
	Writes uint64    `json:"writes"`
	Errors uint64    `json:"errors"`
	// StoreSeconds is the sum of the durations of StoreCalls.
	StoreSeconds float64 `json:"store_seconds"`
	StoreCalls   uint64  `json:"store_calls"`
	Evicted      uint64  `json:"evicted"`
}

// since returns the difference between two samples of totals.
func (s Sample) since(earlier Sample) Sample {
	return Sample{
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

// History samples an engine until it is stopped.
type History struct {
	totals func() Sample
	end    chan struct{}
	ended  chan struct{}

	mu      sync.Mutex
	last    Sample // of totals
	samples []Sample
}

// startHistory begins to sample totals. They may count from any time.
func startHistory(totals func() Sample) *History {
	h := &History{totals: totals, end: make(chan struct{}), ended: make(chan struct{}), last: totals()}
	go h.run()
	return h
}

func (h *History) run() {
	defer close(h.ended)
	ticker := time.NewTicker(SampleInterval)
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

func (h *History) take() {
	totals := h.totals()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == mostSamples {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, totals.since(h.last))
	h.last = totals
}

// Stop ends the sampling, and waits until it has ended.
func (h *History) Stop() {
	close(h.end)
	<-h.ended
}

// Samples returns all samples so far, at most those of ten minutes, oldest first.
func (h *History) Samples() []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Sample{}, h.samples...)
}
