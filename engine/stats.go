package engine

import (
	"slices"
	"time"
)

// Stats counts what an engine has done since it was made, and describes its state.
type Stats struct {
	// The queue has the writes that are not answered yet. QueueWait is how long writes
	// waited until the worker took them, in seconds.
	QueueJobs     int       `json:"queue_jobs"`
	MaxQueueJobs  int       `json:"max_queue_jobs"`
	QueueBytes    int64     `json:"queue_bytes"`
	MaxQueueBytes int64     `json:"max_queue_bytes"`
	QueueWait     Histogram `json:"queue_wait"`

	// Fetches and Applies are calls to the store. Joined counts reads that joined the
	// fetch of another read (single flight).
	Fetches Calls  `json:"fetches"`
	Applies Calls  `json:"applies"`
	Joined  uint64 `json:"joined"`

	// Evicted counts the entries that this engine's batches evicted. EvictedUnread
	// counts those of them that were never fetched.
	Evicted       uint64 `json:"evicted"`
	EvictedUnread uint64 `json:"evicted_unread"`
	// Expired counts the expired entries that this engine's batches removed.
	Expired uint64 `json:"expired"`
	// LastEvictions are the latest evictions, oldest first.
	LastEvictions []Eviction `json:"last_evictions"`
	// DeletedByPrefix counts the entries that DeletePrefix deleted.
	DeletedByPrefix uint64 `json:"deleted_by_prefix"`
	// Watchers watch now. WatchEvents counts the notices that watchers were told, and
	// WatchersDropped the watchers that were too slow.
	Watchers        int    `json:"watchers"`
	WatchEvents     uint64 `json:"watch_events"`
	WatchersDropped uint64 `json:"watchers_dropped"`
	// LostRaises counts reads that the store could not count for its eviction policy.
	LostRaises uint64 `json:"lost_raises"`

	Local LocalStats `json:"local"`

	// Shared says that other processes may write to the store. Their writes are known
	// by events. Subscribed says that this engine is known to receive events.
	Shared     bool `json:"shared"`
	Subscribed bool `json:"subscribed"`
	// LastProof is when the store last answered on a subscription of this engine; zero for never.
	LastProof time.Time `json:"-"`
	Events    uint64    `json:"events"`
	// SubscriptionsLost counts how often the subscription ended, or the first try to
	// subscribe failed.
	SubscriptionsLost uint64 `json:"subscriptions_lost"`
	// EventGaps counts how often events turned out to be missing. The engine dropped
	// all local entries each time.
	EventGaps uint64 `json:"event_gaps"`
}

// Calls counts calls of one kind to the store.
type Calls struct {
	Calls uint64 `json:"calls"`
	// Errors counts failed calls by the names in ErrorKinds.
	Errors map[string]uint64 `json:"errors"`
	// Duration is in seconds, and includes failed calls.
	Duration Histogram `json:"duration"`
	// Size is the number of keys or writes of a call.
	Size Histogram `json:"size"`
}

// Eviction says when an entry was evicted.
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

// Stats returns the counters and the state of the engine. It does not call the store.
func (e *Engine) Stats() Stats {
	settings := e.settings.Load()
	s := Stats{
		MaxQueueJobs:  settings.MaxQueueJobs,
		MaxQueueBytes: settings.MaxQueueBytes,
		QueueWait:     e.room.waits.snapshot(),
		Fetches:       newCalls().calls,
		Applies:       newCalls().calls,
		Local:         e.local.stats(),
		LastEvictions: []Eviction{},
		Shared:        e.partitions[0].watch != nil,
	}
	s.QueueJobs, s.QueueBytes = e.room.size()
	s.DeletedByPrefix = e.deletedByPrefix.Load()
	s.Watchers, s.WatchEvents, s.WatchersDropped = e.feed.size(), e.feed.told.Load(), e.feed.dropped.Load()
	s.Subscribed = s.Shared
	for _, p := range e.partitions {
		p.addTo(&s)
	}
	slices.SortStableFunc(s.LastEvictions, func(a, b Eviction) int { return a.At.Compare(b.At) })
	s.LastEvictions = s.LastEvictions[max(0, len(s.LastEvictions)-lastEvictions):]
	return s
}

// addTo adds the counters of the partition to those of the engine.
func (p *partition) addTo(s *Stats) {
	s.Fetches.add(p.fetcher.calls.snapshot())
	s.Applies.add(p.worker.calls.snapshot())
	s.Joined += p.fetcher.joined.Load()
	s.LostRaises += p.fetcher.lostRaises.Load()
	evicted, unread, last := p.worker.evictions.snapshot()
	s.Evicted += evicted
	s.EvictedUnread += unread
	s.Expired += p.worker.expired.Load()
	s.LastEvictions = append(s.LastEvictions, last...)
	if w := p.watch; w != nil {
		s.Subscribed = s.Subscribed && p.isSubscribed()
		if last := w.lastProof(); last.After(s.LastProof) {
			s.LastProof = last
		}
		s.Events += w.events.Load()
		s.SubscriptionsLost += w.losses.Load()
		s.EventGaps += p.fetcher.gaps.Load()
	}
}

// isSubscribed reports whether the engine is known to receive the events of the partition.
func (p *partition) isSubscribed() bool { return p.watch.alive(p.fetcher.local.now()) }

// add adds the counts of other calls.
func (c *Calls) add(other Calls) {
	c.Calls += other.Calls
	for name, n := range other.Errors {
		c.Errors[name] += n
	}
	c.Duration.merge(other.Duration)
	c.Size.merge(other.Size)
}
