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

// Bodies bounds the memory of arriving request bodies. A body gets room for its whole
// size before it is read. Without room it waits unread; the bodies of a client wait in
// order of arrival. A client gets at most its share, or room for one body. So a client
// whose bodies never end does not stop other clients. A body keeps its room until its
// write is answered. No body waits while it holds room.
type Bodies struct {
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
	moved atomic.Int64 // as in Bodies
	held  int64
	line  list.List     // of *Body
	place *list.Element // in Bodies.line, while its own line is not empty
}

// Body is an arriving body.
type Body struct {
	all    *Bodies
	client *client
	bytes  int64
	since  int64         // when it began to wait
	place  *list.Element // in the line of its client; nil once admitted
	ready  chan struct{} // closed when it is admitted or err is set
	err    error
}

// BodyWait bounds how long a body waits for room.
type BodyWait struct {
	Idle  time.Duration // while the bodies that hold the room do not move
	Total time.Duration // in all
}

// NewBodies returns Bodies with room for max bytes.
func NewBodies(max int64) *Bodies {
	return &Bodies{began: time.Now(), max: max, clients: make(map[netip.Addr]*client)}
}

// Admit waits until there is room for a body, and takes it. End gives the room back. The
// errors are ErrShareFull, ErrBodiesFull, engine.ErrClosed, and the cause of a ctx that
// ended.
func (a *Bodies) Admit(ctx context.Context, from netip.Addr, bytes int64, p BodyWait) (*Body, error) {
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
func (a *Bodies) ask(from netip.Addr, bytes int64) (*Body, error) {
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
	b := &Body{all: a, client: c, bytes: bytes}
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
func (a *Bodies) fits(b *Body) bool {
	return (a.held == 0 || a.held+b.bytes <= a.max) && b.client.hasShare(b.bytes, a.max)
}

func (c *client) hasShare(bytes, max int64) bool {
	return c.held == 0 || c.held+bytes <= max/clientShare
}

func (a *Bodies) take(b *Body) {
	a.held += b.bytes
	b.client.held += b.bytes
	b.Move()
}

// admitWaiting admits waiting bodies while there is room, one body of each client in
// turn.
func (a *Bodies) admitWaiting() {
	var next *list.Element
	for e := a.line.Front(); e != nil && a.held < a.max; e = next {
		next = e.Next()
		c := e.Value.(*client)
		b := c.line.Front().Value.(*Body)
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
func (a *Bodies) unlink(b *Body) {
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
func (a *Bodies) forget(c *client) {
	if c.held == 0 && c.place == nil {
		delete(a.clients, c.addr)
	}
}

// leave gives up waiting. It reports false if the body does not wait any more.
func (a *Bodies) leave(b *Body) bool {
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
func (a *Bodies) whatIsFull(b *Body) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !b.client.hasShare(b.bytes, a.max) {
		return ErrShareFull
	}
	return ErrBodiesFull
}

// left returns how much longer a body may wait. If its client holds room, only bodies of
// that client count as moving: over HTTP/2 the waiting body may be what stops them.
func (p BodyWait) left(b *Body) time.Duration {
	a := b.all
	a.mu.Lock()
	holds := b.client.held > 0
	a.mu.Unlock()
	moved := a.moved.Load()
	if holds {
		moved = b.client.moved.Load()
	}
	now := a.now()
	return min(p.Idle-time.Duration(now-max(b.since, moved)), p.Total-time.Duration(now-b.since))
}

func (a *Bodies) now() int64 { return int64(time.Since(a.began)) }

// Move notes that bytes of the body have arrived.
func (b *Body) Move() {
	now := b.all.now()
	b.all.moved.Store(now)
	b.client.moved.Store(now)
}

// End gives back the room of the body.
func (b *Body) End() {
	a := b.all
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= b.bytes
	b.client.held -= b.bytes
	b.Move()
	a.forget(b.client)
	a.admitWaiting()
}

// Configure changes how much room there is. A lower limit drops no admitted body.
func (a *Bodies) Configure(max int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.max = max
	a.admitWaiting()
}

// Max returns how much room there is in all.
func (a *Bodies) Max() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.max
}

// Close answers all waiting and later bodies with engine.ErrClosed.
func (a *Bodies) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for a.line.Len() > 0 {
		b := a.line.Front().Value.(*client).line.Front().Value.(*Body)
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
func (a *Bodies) Stats() BodyStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return BodyStats{Bytes: a.held, MaxBytes: a.max, Waiting: a.waiting}
}
