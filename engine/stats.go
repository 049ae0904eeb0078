package engine

import "time"

// Stats is what an engine has done since it was made, and its state now.
type Stats struct {
	// The queue: writes that are not answered yet, and how long those that the
	// worker took had waited, in seconds.
	QueueJobs     int       `json:"queue_jobs"`
	MaxQueueJobs  int       `json:"max_queue_jobs"`
	QueueBytes    int64     `json:"queue_bytes"`
	MaxQueueBytes int64     `json:"max_queue_bytes"`
	QueueWait     Histogram `json:"queue_wait"`

	// Calls to the store. Joined counts reads that shared the fetch of another.
	Fetches Calls  `json:"fetches"`
	Applies Calls  `json:"applies"`
	Joined  uint64 `json:"joined"`

	// Evicted counts entries that this engine's batches evicted, EvictedUnread
	// those of them that nobody had read.
	Evicted       uint64 `json:"evicted"`
	EvictedUnread uint64 `json:"evicted_unread"`
	// LastEvictions are the latest of them, oldest first.
	LastEvictions []Eviction `json:"last_evictions"`
	// LostRaises counts reads of which the store could not tell its policy.
	LostRaises uint64 `json:"lost_raises"`

	Local LocalStats `json:"local"`

	// Shared says that others may write to the store, which then tells of it by
	// events; Subscribed, that this engine is known to receive them.
	Shared     bool   `json:"shared"`
	Subscribed bool   `json:"subscribed"`
	Events     uint64 `json:"events"`
	// SubscriptionsLost counts how often the subscription ended, or could not be
	// made at first.
	SubscriptionsLost uint64 `json:"subscriptions_lost"`
	// EventGaps counts how often it showed that events had not come, so that
	// everything local was dropped.
	EventGaps uint64 `json:"event_gaps"`
}

// Calls are calls of one kind to the store.
type Calls struct {
	Calls uint64 `json:"calls"`
	// Errors counts the calls that failed, by kind; see ErrorKinds.
	Errors map[string]uint64 `json:"errors"`
	// Duration is in seconds, of failed calls too.
	Duration Histogram `json:"duration"`
	// Size is how many keys or writes a call had.
	Size Histogram `json:"size"`
}

// Eviction is an entry that left for want of room.
type Eviction struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

// LocalStats is the state of the local tier.
type LocalStats struct {
	Entries   int    `json:"entries"`
	Bytes     int64  `json:"bytes"`
	MaxBytes  int64  `json:"max_bytes"`
	Evictions uint64 `json:"evictions"`
}

// Stats does not call the store.
func (e *Engine) Stats() Stats {
	settings := e.settings.Load()
	s := Stats{
		MaxQueueJobs:  settings.MaxQueueJobs,
		MaxQueueBytes: settings.MaxQueueBytes,
		QueueWait:     e.queue.waits.snapshot(),
		Fetches:       e.fetcher.calls.snapshot(),
		Applies:       e.worker.calls.snapshot(),
		Joined:        e.fetcher.joined.Load(),
		LostRaises:    e.fetcher.lostRaises.Load(),
		Local:         e.local.stats(),
		Shared:        e.watch != nil,
	}
	s.QueueJobs, s.QueueBytes = e.queue.size()
	s.Evicted, s.EvictedUnread, s.LastEvictions = e.worker.evictions.snapshot()
	if e.watch != nil {
		s.Subscribed = e.watch.alive(e.local.now())
		s.Events = e.watch.events.Load()
		s.SubscriptionsLost = e.watch.losses.Load()
		s.EventGaps = e.fetcher.gaps.Load()
	}
	return s
}
