package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// primary is the server that takes the writes of the namespace. All connections of its
// client lead to it: a connection never outlives what it was made for.
type primary struct {
	addr   string
	client *redis.Client
}

// promotionTime is how long writes wait for the end of a failover that Sentinels
// announced. They ask a replica once a second whether it is the primary now.
const promotionTime = 3 * time.Second

// errPromoting says that nothing was sent to a primary that another server is about to
// succeed.
var errPromoting = errors.New("a failover has begun, and writes wait for the new primary")

// held is a server that gets no writes until a time. It is told by its address: after a
// fault, it has another client.
type held struct {
	addr  string
	until time.Time
}

// hold makes writes wait for d, as long as the server at addr is the primary. It would
// still take them, and they would be lost.
func (s *Store) hold(addr string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held{addr, time.Now().Add(d)}
}

// isHeld reports whether writes wait for another primary.
func (s *Store) isHeld(ctx context.Context) bool {
	s.mu.Lock()
	h := s.held
	s.mu.Unlock()
	if !time.Now().Before(h.until) {
		return false
	}
	p, err := s.current(ctx)
	return err == nil && p.addr == h.addr
}

// current returns the primary, or store.ErrClosed. If the primary is not known, current
// looks for it.
func (s *Store) current(ctx context.Context) (*primary, error) {
	for {
		s.mu.Lock()
		p, topology, next, closed := s.primary, s.topology, s.next, s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return nil, store.ErrClosed
		case p != nil:
			return p, nil
		}
		if next == "" {
			var err error
			if next, err = topology.find(ctx); err != nil {
				return nil, &dialError{err}
			}
		}
		s.mu.Lock()
		if s.primary == nil && !s.closed && s.topology == topology {
			s.primary, s.next = s.newPrimary(next), ""
			s.subscribeAt(next)
		}
		s.mu.Unlock()
	}
}

// newPrimary returns a client of the server at addr. The caller holds mu.
func (s *Store) newPrimary(addr string) *primary {
	o := s.target.clientOptions(s.life, addr)
	bySentinels := s.target.kind == sentinel
	o.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		var err error
		switch {
		case bySentinels:
			s.greeted.Store(true)
			err = checkRole(ctx, cn)
		case o.Password == "" && o.Username == "":
			// A server that wants a password closes the connection at a long command, and
			// the sender may get no answer. It answers a short command.
			err = cn.Ping(ctx).Err()
			if isReply(err) && replyCause(err) != store.Credentials {
				err = nil // it is that of every command, and each may make something else of it
			}
		}
		if err != nil {
			return ungreeted(s.diagnose(err))
		}
		s.greeted.Store(true)
		return nil
	}
	client := redis.NewClient(o)
	client.AddHook(newTracing(o))
	client.AddHook(greeting{})
	return &primary{addr: addr, client: client}
}

// SetTarget makes new connections go to t. It must have the identity of the old target:
// only credentials and options of the connection may differ.
func (s *Store) SetTarget(t *Target) {
	s.mu.Lock()
	old := s.topology
	s.target, s.topology = t, t.topology(s.life, s.keys)
	s.greeted.Store(false)
	if t.hasTopology() && s.resubscribe != nil {
		s.resubscribe(errMoved)
	}
	s.mu.Unlock()
	s.renew("")
	old.close()
}

// renew makes new connections. Tries on the old ones fail, and calls try again on the new
// ones. They go to the server at next; if that is not known, its topology finds it.
func (s *Store) renew(next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.renewals.Add(1)
	if s.primary != nil {
		_ = s.primary.client.Close()
	}
	s.primary, s.next = nil, next
}

// follow makes connections and subscription go to the server at addr, if they are at
// another one.
func (s *Store) follow(addr string) {
	s.mu.Lock()
	isNews := s.primary != nil && s.primary.addr != addr
	s.subscribeAt(addr)
	s.mu.Unlock()
	if isNews {
		s.renew(addr)
	}
}

// subscribeAt ends a subscription at another server than that at addr. The caller holds mu.
func (s *Store) subscribeAt(addr string) {
	if s.resubscribe != nil && s.watched != addr {
		s.resubscribe(errMoved)
	}
}

// look asks the topology for the primary, and follows it.
func (s *Store) look(ctx context.Context) {
	s.mu.Lock()
	topology := s.topology
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if addr, err := topology.find(ctx); err == nil {
		s.follow(addr)
	}
}

// believe returns an error if an answer of p may come from a primary no more.
func (s *Store) believe(p *primary, asked time.Time) error {
	s.mu.Lock()
	topology := s.topology
	s.mu.Unlock()
	return topology.believe(p.addr, asked)
}

// leave gives up a primary after a failed try on it, if err may mean that another server
// is the primary now. A new try then looks for it.
func (s *Store) leave(p *primary, err error) {
	s.mu.Lock()
	skip := !s.target.hasTopology() || s.primary != p
	s.mu.Unlock()
	if skip {
		return
	}
	_, isDial := errors.AsType[*dialError](err)
	addr, isMoved := movedTo(err, p.addr)
	switch {
	case isMoved:
		s.follow(addr)
	case isDial, store.CauseOf(err) == store.ReadOnly:
		s.renew("")
	case isTimeout(err), errors.Is(err, errMoved), isPassing(err), store.CauseOf(err) == store.TooFewReplicas:
		s.look(s.life)
	}
}

// leaveReadOnly makes new connections after an error of a read-only server: after a
// failover, the same name may lead to another server, while the old one keeps its
// connections open. The pause until the next time doubles, up to a minute, until a write
// succeeds: the server may be read-only on purpose.
func (s *Store) leaveReadOnly(err error) {
	if store.CauseOf(err) != store.ReadOnly {
		return
	}
	s.mu.Lock()
	recent := time.Since(s.renewed) < s.renewPause
	if !recent {
		s.renewed = time.Now()
		s.renewPause = min(max(2*s.renewPause, time.Second), time.Minute)
		if s.resubscribe != nil {
			s.resubscribe(errMoved)
		}
	}
	s.mu.Unlock()
	if !recent {
		s.renew("")
	}
}

// isMoving is isMoving for a cluster. Elsewhere the words are an error like any other.
func (s *Store) isMoving(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target.kind == cluster && isMoving(err)
}
