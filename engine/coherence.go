package engine

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// What follows keeps the local tier, and the flights that will fill it, from
// answering with what is known to be overwritten. Write numbers decide: whoever
// learns of a write, from its answer or from an event, tells its number, and what
// was fetched as of an earlier one goes. What is still on its way gets a fence
// (flight.fence), which land and get compare with the number that it brings.

// seenNumber returns the highest write number seen.
func (f *fetcher) seenNumber() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// written tells of an answer of the store to writes, which changed the keys. It
// was asked for when seen was the highest number.
func (f *fetcher) written(keys []string, a store.Applied, seen uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observe(a.Epoch, a.Number, a.LastEvent, seen)
	f.dropLocked(keys, a.Number)
}

// drop removes what is local of keys that changed with write number.
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

// observe notes epoch, write number and last event of an answer.
func (f *fetcher) observe(epoch string, number uint64, last store.Version, seen uint64) {
	if number < seen {
		f.forget()
	}
	f.enter(epoch)
	f.seen = max(f.seen, number)
	if f.events.answered(last, f.local.now()) {
		f.missed()
	}
}

// enter notes the store's epoch. What is known of another one is worth nothing.
func (f *fetcher) enter(epoch string) {
	if epoch != f.epoch {
		f.forget()
		f.epoch = epoch
	}
}

// forget drops everything local, and what is known of the store.
func (f *fetcher) forget() {
	f.seen, f.events = 0, eventChain{}
	f.dropAllLocked()
}

// missed drops everything local, since events that would have dropped some of it
// did not come.
func (f *fetcher) missed() {
	f.gaps.Add(1)
	f.dropAllLocked()
}

// ponged is told that all events came that were published before at.
func (f *fetcher) ponged(at time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events.ponged(at) {
		f.missed()
	}
}

// dropAll drops everything local, also what is on its way.
func (f *fetcher) dropAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropAllLocked()
}

func (f *fetcher) dropAllLocked() {
	for _, fl := range f.flights {
		if fl.sent {
			fl.fence = unknownNumber
		}
	}
	f.local.dropAll()
}

// subscribed is told when a subscription begins: what happened before it may
// have been missed.
func (f *fetcher) subscribed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget()
}

// changed is told of every event of the subscription, in order. Events of
// this process's own writes arrive too, often late: they drop nothing, since
// what was fetched after a write is not older than it.
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
}
