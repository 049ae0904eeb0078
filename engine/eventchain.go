package engine

import (
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// eventChain tells whether events of a subscription were missed. That the
// subscription answers pings does not say so: after a failover it may stand on a
// server that nobody writes to any more, or whose last events nobody sent.
//
// Each event names the one before it, so that a gap shows when the next one comes.
// Each answer of the store names the last event as of the answer, which must have
// come before the answer to a ping that was sent later.
//
// Versions name events: the write number after the batch, and the batch's tag. A
// number alone would not do, since two servers may both have given it.
type eventChain struct {
	known bool
	last  store.Version // heard last, or adopted from an answer

	// adopted says that last is from an answer, at adoptedAt: earlier events may
	// still be on their way.
	adopted   bool
	adoptedAt time.Duration

	// due has to be heard before the answer to a ping that was sent after its
	// time, next is due then.
	due, next expectation
}

// expectation is an event that an answer named, and when it did.
type expectation struct {
	id store.Version
	at time.Duration
}

// heard notes an event, and reports whether others were missed before it.
func (c *eventChain) heard(id, previous store.Version) (missed bool) {
	if c.known && c.adopted && id.Number <= c.last.Number {
		return false
	}
	missed = c.known && previous != c.last
	c.known, c.adopted, c.last = true, false, id
	return missed
}

// answered notes the last event that an answer names, and reports whether it
// shows by itself that others were missed. The first answer after subscribing
// says where the chain begins: nothing local is older.
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
	case c.adopted: // answers overtake each other, and the earliest counts
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

// ponged notes the answer to a ping, and reports whether an event that should
// have come before it has not. The chain then goes on from that event.
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
