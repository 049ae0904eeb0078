package engine

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// eventChain finds out whether events of a subscription were missed. Answers to pings
// do not show it: after a failover the subscription may be on a server that gets no
// writes any more, or that never sent its last events.
//
// Each event names the event before it. So the next event shows a gap. Each answer of
// the store names the last event published by then. That event must arrive before the
// answer to any ping that is sent later.
//
// An event is named by a version: the write number after its batch, and the tag of the
// batch. The number alone is not enough, since two servers may have used it.
type eventChain struct {
	known bool
	last  store.Version // heard last, or adopted from an answer

	// adopted says that last is from an answer that came at adoptedAt. Earlier events
	// may still be on their way.
	adopted   bool
	adoptedAt time.Duration

	// due must be heard before the answer to a ping that was sent after due.at. Then
	// next becomes due.
	due, next expectation
}

// expectation is an event that an answer named at a time.
type expectation struct {
	id store.Version
	at time.Duration
}

// heard notes an event, and reports whether events before it were missed.
func (c *eventChain) heard(id, previous store.Version) (missed bool) {
	if c.known && c.adopted && id.Number <= c.last.Number {
		return false
	}
	missed = c.known && previous != c.last
	c.known, c.adopted, c.last = true, false, id
	return missed
}

// answered notes the last event that an answer names, and reports whether this alone
// shows that events were missed. The chain begins with the first answer after
// subscribing, since no local entry is older.
func (c *eventChain) answered(id store.Version, now time.Duration) (missed bool) {
	switch {
	case !c.known:
		c.known, c.adopted, c.adoptedAt, c.last = true, true, now, id
	case id == c.last:
	case id.Number == c.last.Number:
		c.last = id
		return true
	case id.Number > c.last.Number:
		c.expect(id, now)
	case c.adopted: // answers may overtake each other; the chain begins with the earliest
		c.expect(c.last, now)
		c.last = id
	}
	return false
}

func (c *eventChain) expect(id store.Version, now time.Duration) {
	switch {
	case c.due.id.Number == 0:
		c.due = expectation{id, now}
	case id.Number > c.next.id.Number:
		c.next = expectation{id, now}
	}
}

// ponged notes the answer to a ping, and reports whether an event is missing that
// should have come before it. The chain then continues from that event.
func (c *eventChain) ponged(sent time.Duration) (missed bool) {
	if c.adopted && sent > c.adoptedAt {
		c.adopted = false
	}
	if c.due.id.Number == 0 || sent <= c.due.at {
		return false
	}
	due := c.due.id
	c.due, c.next = c.next, expectation{}
	if due.Number < c.last.Number || due == c.last {
		return false
	}
	c.last = due
	return true
}
