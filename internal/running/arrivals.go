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
	// SmallBody is the largest body that needs no room, since its connection costs as
	// much memory. So a client whose share is taken can still write small values, and so
	// can other clients behind the same address.
	SmallBody = 4 << 10
	// clientShare is the part of the room that one client gets: a quarter.
	clientShare = 4
)

var (
	// ErrShareFull and ErrBodiesFull say that a body waited for room and got none.
	ErrShareFull  = fmt.Errorf("%w: the client's share of arriving bodies is taken", engine.ErrQueueFull)
	ErrBodiesFull = fmt.Errorf("%w: too many arriving bodies", engine.ErrQueueFull)
)

// Arrivals bounds the memory of arriving request bodies. A body gets room for its whole
// size before it is read. Without room it waits unread; the bodies of a client wait in
// order of arrival. A client gets at most its share, or room for one body. So a client
// whose bodies never end does not stop other clients. A body keeps its room until its
// write is answered. No body waits while it holds room.
type Arrivals struct {
	began time.Time
	// moved is when bytes of any body last arrived, since began.
	moved atomic.Int64

	mu      sync.Mutex
	max     int64
	held    int64
	waiting int
	clients map[netip.Addr]*client // clients that hold room or wait
	line    list.List              // of *client; clients that wait
	closed  bool
}

// client is an address that sends bodies.
type client struct {
	addr  netip.Addr
	moved atomic.Int64 // as in Arrivals
	held  int64
	line  list.List     // of *Arrival
	place *list.Element // in Arrivals.line, while its own line is not empty
}

// Arrival is an arriving body.
type Arrival struct {
	all    *Arrivals
	client *client
	bytes  int64
	since  int64         // when it began to wait
	place  *list.Element // in the line of its client; nil once admitted
	ready  chan struct{} // closed when it is admitted or err is set
	err    error
}

// WaitLimits bound how long a body waits for room.
type WaitLimits struct {
	Still time.Duration // while the bodies that hold the room do not move
	Most  time.Duration // in all
}

// NewArrivals returns Arrivals with room for max bytes.
func NewArrivals(max int64) *Arrivals {
	return &Arrivals{began: time.Now(), max: max, clients: make(map[netip.Addr]*client)}
}

// Admit waits until there is room for a body, and takes it. End gives the room back. The
// errors are ErrShareFull, ErrBodiesFull, engine.ErrClosed, and the cause of a ctx that
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
			return b, b.err // admitted at the same moment; reading the body will fail
		case <-timer.C:
			if left := p.left(b); left > 0 {
				timer.Reset(left)
				continue
			}
			full := a.whatIsFull(b)
			if a.leave(b) {
				return nil, full
			}
			return b, b.err
		}
	}
}

// ask admits a body, or appends it to the line of its client.
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

// fits reports whether there is room. A client that holds no room gets room for one body
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

// admitWaiting admits waiting bodies while there is room, one body of each client in
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

// unlink removes b from the line.
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

// leave gives up waiting. It reports false if the body does not wait any more.
func (a *Arrivals) leave(b *Arrival) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.place == nil {
		return false
	}
	a.unlink(b)
	a.forget(b.client)
	// The next body of this client may be smaller, and fit.
	a.admitWaiting()
	return true
}

// whatIsFull returns the error for a body that waited too long.
func (a *Arrivals) whatIsFull(b *Arrival) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !b.client.hasShare(b.bytes, a.max) {
		return ErrShareFull
	}
	return ErrBodiesFull
}

// left returns how much longer a body may wait. If its client holds room, only bodies of
// that client count as moving: over HTTP/2 the waiting body may be what stops them.
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

// Move notes that bytes of the body have arrived.
func (b *Arrival) Move() {
	now := b.all.now()
	b.all.moved.Store(now)
	b.client.moved.Store(now)
}

// End gives back the room of the body.
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

// Configure changes how much room there is. A lower bound drops no admitted body.
func (a *Arrivals) Configure(max int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.max = max
	a.admitWaiting()
}

// Close answers all waiting and later bodies with engine.ErrClosed.
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

// BodyStats is the room that arriving bodies take, and how many wait.
type BodyStats struct {
	Bytes    int64 `json:"body_bytes"`
	MaxBytes int64 `json:"max_body_bytes"`
	Waiting  int   `json:"bodies_waiting"`
}

// Stats returns the room that is taken, and how many bodies wait.
func (a *Arrivals) Stats() BodyStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return BodyStats{Bytes: a.held, MaxBytes: a.max, Waiting: a.waiting}
}
