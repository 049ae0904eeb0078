package redisproxy

import (
	"container/list"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

const (
	// smallBody is the size up to which a body needs no room: the connection that
	// brings it costs as much. So a client whose share is taken can still write
	// small values, and so can all others behind its address.
	smallBody = 4 << 10
	// clientShare is the part of the room that one client gets: a quarter.
	clientShare = 4
)

var (
	// errShareFull and errBodiesFull say that a body waited for room in vain.
	errShareFull  = fmt.Errorf("%w: the client's share of arriving bodies is taken", engine.ErrQueueFull)
	errBodiesFull = fmt.Errorf("%w: too many arriving bodies", engine.ErrQueueFull)
)

// arrivals bounds the memory of request bodies on their way. A body gets room
// for all of it before it is read, and waits unread where there is none, in the
// order of arrival for each client. One client gets at most its share, or one
// body, so that bodies of one client that never end stop nobody else. A body
// keeps its room until its write is answered. Nobody waits while holding room.
type arrivals struct {
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
	moved atomic.Int64 // as in arrivals
	held  int64
	line  list.List     // of *arrival
	place *list.Element // in arrivals.line, while its own line is not empty
}

// arrival is a body on its way.
type arrival struct {
	all    *arrivals
	client *client
	bytes  int64
	since  int64         // when it began to wait
	place  *list.Element // in the line of its client; nil once admitted
	ready  chan struct{} // closed when it is admitted, or err set
	err    error
}

// waitLimits are for how long a body waits for room.
type waitLimits struct {
	still time.Duration // while no body in its way moves
	most  time.Duration // in all
}

func newArrivals(max int64) *arrivals {
	return &arrivals{began: time.Now(), max: max, clients: make(map[netip.Addr]*client)}
}

// admit returns when there is room for a body, which end gives back. The errors
// are errShareFull, errBodiesFull, engine.ErrClosed, and the cause of a ctx that
// ended.
func (a *arrivals) admit(ctx context.Context, from netip.Addr, bytes int64, p waitLimits) (*arrival, error) {
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
func (a *arrivals) ask(from netip.Addr, bytes int64) (*arrival, error) {
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
	b := &arrival{all: a, client: c, bytes: bytes}
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
func (a *arrivals) fits(b *arrival) bool {
	return (a.held == 0 || a.held+b.bytes <= a.max) && b.client.hasShare(b.bytes, a.max)
}

func (c *client) hasShare(bytes, max int64) bool {
	return c.held == 0 || c.held+bytes <= max/clientShare
}

func (a *arrivals) take(b *arrival) {
	a.held += b.bytes
	b.client.held += b.bytes
	b.move()
}

// admitWaiting admits what there is room for now, one body of each client in
// turn.
func (a *arrivals) admitWaiting() {
	var next *list.Element
	for e := a.line.Front(); e != nil && a.held < a.max; e = next {
		next = e.Next()
		c := e.Value.(*client)
		b := c.line.Front().Value.(*arrival)
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
func (a *arrivals) unlink(b *arrival) {
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
func (a *arrivals) forget(c *client) {
	if c.held == 0 && c.place == nil {
		delete(a.clients, c.addr)
	}
}

// leave gives up waiting. It reports false for a body that waits no more.
func (a *arrivals) leave(b *arrival) bool {
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
func (a *arrivals) isFull(b *arrival) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !b.client.hasShare(b.bytes, a.max) {
		return errShareFull
	}
	return errBodiesFull
}

// left returns for how much longer a body waits. What counts is whether those of
// its own client move: over HTTP/2 it may be the one that stops them.
func (p waitLimits) left(b *arrival) time.Duration {
	a := b.all
	a.mu.Lock()
	holds := b.client.held > 0
	a.mu.Unlock()
	moved := a.moved.Load()
	if holds {
		moved = b.client.moved.Load()
	}
	now := a.now()
	return min(p.still-time.Duration(now-max(b.since, moved)), p.most-time.Duration(now-b.since))
}

func (a *arrivals) now() int64 { return int64(time.Since(a.began)) }

// move notes that something of the body has come.
func (b *arrival) move() {
	now := b.all.now()
	b.all.moved.Store(now)
	b.client.moved.Store(now)
}

// end gives the room back.
func (b *arrival) end() {
	a := b.all
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= b.bytes
	b.client.held -= b.bytes
	b.move()
	a.forget(b.client)
	a.admitWaiting()
}

// configure changes how much room there is. A lower bound drops nothing.
func (a *arrivals) configure(max int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.max = max
	a.admitWaiting()
}

// close answers all that wait, and come later, with engine.ErrClosed.
func (a *arrivals) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for a.line.Len() > 0 {
		b := a.line.Front().Value.(*client).line.Front().Value.(*arrival)
		a.unlink(b)
		a.forget(b.client)
		b.err = engine.ErrClosed
		close(b.ready)
	}
}

// bodyStats are about arriving bodies.
type bodyStats struct {
	Bytes    int64 `json:"body_bytes"`
	MaxBytes int64 `json:"max_body_bytes"`
	Waiting  int   `json:"bodies_waiting"`
}

func (a *arrivals) stats() bodyStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bodyStats{Bytes: a.held, MaxBytes: a.max, Waiting: a.waiting}
}

// clientOf tells clients apart by the address that Caddy takes for theirs, and
// of IPv6 by the network: one customer has all addresses of a /64.
func clientOf(r *http.Request) netip.Addr {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if ip == "" {
		ip, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		network, _ := addr.Prefix(64)
		addr = network.Addr()
	}
	return addr
}

// waitLimitsFor says for how long a body waits for room. All requests of an HTTP/2
// or HTTP/3 connection share its window: a body that is not read soon stops the
// others, those that were admitted among them, and has to give way before they
// fail.
func (h *Handler) waitLimitsFor(r *http.Request) waitLimits {
	if r.ProtoMajor >= 2 {
		return waitLimits{still: min(time.Second, h.bodyTimeout/2), most: h.bodyTimeout / 2}
	}
	return waitLimits{still: h.bodyTimeout, most: 10 * h.bodyTimeout}
}
