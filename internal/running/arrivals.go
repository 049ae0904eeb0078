package running

import (
	"container/list"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

const (
	// SmallBody is the size up to which a body needs no room: the connection that
	// brings it costs as much. So a client whose share is taken can still write
	// small values, and so can all others behind its address.
	SmallBody = 4 << 10
	// clientShare is the part of the room that one client gets: a quarter.
	clientShare = 4
)

var (
	// ErrShareFull and ErrBodiesFull say that a body waited for room in vain.
	ErrShareFull  = fmt.Errorf("%w: the client's share of arriving bodies is taken", engine.ErrQueueFull)
	ErrBodiesFull = fmt.Errorf("%w: too many arriving bodies", engine.ErrQueueFull)
)

// Arrivals bounds the memory of request bodies on their way. A body gets room
// for all of it before it is read, and waits unread where there is none, in the
// order of arrival for each client. One client gets at most its share, or one
// body, so that bodies of one client that never end stop nobody else. A body
// keeps its room until its write is answered. Nobody waits while holding room.
type Arrivals struct {
	began time.Time
	// moved is when a body last moved, of any client; since began.
	moved atomic.Int64

	mu      sync.Mutex
	max     int64
	held    int64
	waiting int
	clients map[netip.Addr]*client // those that hold room or wait
	line    list.List              // of *client, those that wait
	closed  bool
}

// client is where bodies come from.
type client struct {
	addr  netip.Addr
	moved atomic.Int64 // as in Arrivals
	held  int64
	line  list.List     // of *Arrival
	place *list.Element // in Arrivals.line, while its own line is not empty
}

// Arrival is a body on its way.
type Arrival struct {
	all    *Arrivals
	client *client
	bytes  int64
	since  int64         // when it began to wait
	place  *list.Element // in the line of its client; nil once admitted
	ready  chan struct{} // closed when it is admitted, or err set
	err    error
}

// WaitLimits are for how long a body waits for room.
type WaitLimits struct {
	Still time.Duration // while no body in its way moves
	Most  time.Duration // in all
}

// NewArrivals returns one with room for max bytes.
func NewArrivals(max int64) *Arrivals {
	return &Arrivals{began: time.Now(), max: max, clients: make(map[netip.Addr]*client)}
}

// Admit returns when there is room for a body, which End gives back. The errors
// are ErrShareFull, ErrBodiesFull, engine.ErrClosed, and the cause of a ctx that
// ended.
func (a *Arrivals) Admit(ctx context.Context, from netip.Addr, bytes int64, p WaitLimits) (*Arrival, error) {
	b, err := a.ask(from, bytes)
	if err != nil || b.ready == nil {
		return b, err
	}
	timer := time.NewTimer(p.left(b))
	defer timer.Stop()
	for {
		select {
		case <-b.ready:
			return b, b.err
		case <-ctx.Done():
			if a.leave(b) {
				return nil, context.Cause(ctx)
			}
			return b, b.err // in the same moment; the reading will tell
		case <-timer.C:
			if left := p.left(b); left > 0 {
				timer.Reset(left)
				continue
			}
			full := a.isFull(b)
			if a.leave(b) {
				return nil, full
			}
			return b, b.err
		}
	}
}

// ask admits a body, or puts it into the line of its client.
func (a *Arrivals) ask(from netip.Addr, bytes int64) (*Arrival, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, engine.ErrClosed
	}
	c := a.clients[from]
	if c == nil {
		c = &client{addr: from}
		a.clients[from] = c
	}
	b := &Arrival{all: a, client: c, bytes: bytes}
	if c.line.Len() == 0 && a.fits(b) {
		a.take(b)
		return b, nil
	}
	b.since, b.ready = a.now(), make(chan struct{})
	b.place = c.line.PushBack(b)
	if c.place == nil {
		c.place = a.line.PushBack(c)
	}
	a.waiting++
	return b, nil
}

// fits reports whether there is room. Who holds nothing gets room for one body
// of any size that settings allow.
func (a *Arrivals) fits(b *Arrival) bool {
	return (a.held == 0 || a.held+b.bytes <= a.max) && b.client.hasShare(b.bytes, a.max)
}

func (c *client) hasShare(bytes, max int64) bool {
	return c.held == 0 || c.held+bytes <= max/clientShare
}

func (a *Arrivals) take(b *Arrival) {
	a.held += b.bytes
	b.client.held += b.bytes
	b.Move()
}

// admitWaiting admits what there is room for now, one body of each client in
// turn.
func (a *Arrivals) admitWaiting() {
	var next *list.Element
	for e := a.line.Front(); e != nil && a.held < a.max; e = next {
		next = e.Next()
		c := e.Value.(*client)
		b := c.line.Front().Value.(*Arrival)
		if !a.fits(b) {
			continue
		}
		a.unlink(b)
		a.take(b)
		close(b.ready)
		if c.place != nil {
			a.line.MoveToBack(e)
			if next == nil {
				next = e
			}
		}
	}
}

// unlink takes b out of the line.
func (a *Arrivals) unlink(b *Arrival) {
	c := b.client
	c.line.Remove(b.place)
	b.place = nil
	if c.line.Len() == 0 {
		a.line.Remove(c.place)
		c.place = nil
	}
	a.waiting--
}

// forget drops a client that neither holds room nor waits.
func (a *Arrivals) forget(c *client) {
	if c.held == 0 && c.place == nil {
		delete(a.clients, c.addr)
	}
}

// leave gives up waiting. It reports false for a body that waits no more.
func (a *Arrivals) leave(b *Arrival) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.place == nil {
		return false
	}
	a.unlink(b)
	a.forget(b.client)
	// Others of this client may be smaller.
	a.admitWaiting()
	return true
}

// isFull says of a body that waits what is full.
func (a *Arrivals) isFull(b *Arrival) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !b.client.hasShare(b.bytes, a.max) {
		return ErrShareFull
	}
	return ErrBodiesFull
}

// left returns for how much longer a body waits. What counts is whether those of
// its own client move: over HTTP/2 it may be the one that stops them.
func (p WaitLimits) left(b *Arrival) time.Duration {
	a := b.all
	a.mu.Lock()
	holds := b.client.held > 0
	a.mu.Unlock()
	moved := a.moved.Load()
	if holds {
		moved = b.client.moved.Load()
	}
	now := a.now()
	return min(p.Still-time.Duration(now-max(b.since, moved)), p.Most-time.Duration(now-b.since))
}

func (a *Arrivals) now() int64 { return int64(time.Since(a.began)) }

// Move notes that something of the body has come.
func (b *Arrival) Move() {
	now := b.all.now()
	b.all.moved.Store(now)
	b.client.moved.Store(now)
}

// End gives the room back.
func (b *Arrival) End() {
	a := b.all
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= b.bytes
	b.client.held -= b.bytes
	b.Move()
	a.forget(b.client)
	a.admitWaiting()
}

// Configure changes how much room there is. A lower bound drops nothing.
func (a *Arrivals) Configure(max int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.max = max
	a.admitWaiting()
}

// Close answers all that wait, and come later, with engine.ErrClosed.
func (a *Arrivals) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for a.line.Len() > 0 {
		b := a.line.Front().Value.(*client).line.Front().Value.(*Arrival)
		a.unlink(b)
		a.forget(b.client)
		b.err = engine.ErrClosed
		close(b.ready)
	}
}

// BodyStats are about arriving bodies.
type BodyStats struct {
	Bytes    int64 `json:"body_bytes"`
	MaxBytes int64 `json:"max_body_bytes"`
	Waiting  int   `json:"bodies_waiting"`
}

// Stats returns how much room is taken.
func (a *Arrivals) Stats() BodyStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return BodyStats{Bytes: a.held, MaxBytes: a.max, Waiting: a.waiting}
}
