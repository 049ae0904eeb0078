package engine

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// This file keeps old values out of the local tier. A write becomes known through its
// answer or through an event, and both carry its write number. The local tier then
// drops every older copy of the key. A flight that is still on its way gets a fence
// (flight.fence): land and get compare it with the write number that the flight
// brings.

// seenNumber returns the highest write number seen.
func (f *fetcher) seenNumber() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// written notes the store's answer to a batch of writes that changed the keys. When
// the batch was sent, the highest number was seen.
func (f *fetcher) written(keys []string, a store.Applied, seen uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observe(a.Epoch, a.Number, a.LastEvent, seen)
	f.dropLocked(keys, a.Number)
}

// drop removes local copies of keys that are older than the write with the number.
func (f *fetcher) drop(keys []string, number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropLocked(keys, number)
}

func (f *fetcher) dropLocked(keys []string, number uint64) {
	for _, key := range keys {
		if fl := f.flights[key]; fl != nil && fl.sent {
			fl.fence = max(fl.fence, number)
		}
		f.local.dropOlder(key, number)
	}
}

// observe notes the epoch, the write number and the last event of an answer. A number
// below seen means that the store lost writes.
func (f *fetcher) observe(epoch string, number uint64, last store.Version, seen uint64) {
	if number < seen {
		// Otherwise another answer or an event has told of it, or enter will.
		isNews := number < f.seen && epoch == f.epoch
		f.forget()
		if isNews {
			f.feed.reset()
		}
	}
	f.enter(epoch)
	f.seen = max(f.seen, number)
	if f.events.answered(last, f.local.now()) {
		f.missed()
	}
}

// enter notes the store's epoch. A new one makes all local entries worthless.
func (f *fetcher) enter(epoch string) {
	if epoch == f.epoch {
		return
	}
	f.forget()
	if f.epoch != "" { // else nothing was known that could have been missed
		f.feed.reset()
	}
	f.epoch = epoch
}

func (f *fetcher) knowsEpoch() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch != ""
}

// learn notes the epoch if none is known.
func (f *fetcher) learn(epoch string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == "" {
		f.epoch = epoch
	}
}

// forget drops all local entries, and everything that is known of the store.
func (f *fetcher) forget() {
	f.seen, f.events = 0, eventChain{}
	f.dropAllLocked()
}

// missed drops all local entries after events were missed: some of those would have
// dropped entries.
func (f *fetcher) missed() {
	f.gaps.Add(1)
	f.dropAllLocked()
	f.feed.reset()
}

// ponged notes that every event published before at has come.
func (f *fetcher) ponged(at time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events.ponged(at) {
		f.missed()
	}
}

// fenceAll keeps the entries that sent flights would bring out of the local tier.
func (f *fetcher) fenceAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fenceAllLocked()
}

// dropAllLocked drops all local entries, and those that sent flights would bring.
func (f *fetcher) dropAllLocked() {
	f.fenceAllLocked()
	f.local.dropAll()
}

func (f *fetcher) fenceAllLocked() {
	for _, fl := range f.flights {
		if fl.sent {
			fl.fence = unknownNumber
		}
	}
}

// subscribed notes that a subscription begins. Earlier events may have been missed.
func (f *fetcher) subscribed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget()
	f.feed.reset()
}

// changed notes an event. Events come in order. Those of this process's own writes
// come too, often late. They drop no entry that was fetched after the write, since it
// is not older.
func (f *fetcher) changed(ev store.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enter(ev.Epoch)
	if f.events.heard(ev.ID, ev.Previous) {
		f.missed()
	}
	f.seen = max(f.seen, ev.ID.Number)
	for _, c := range ev.Changes {
		f.dropLocked([]string{c.Key}, c.Number)
	}
	f.feed.changed(ev)
}
