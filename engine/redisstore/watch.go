package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	pingEvery = 250 * time.Millisecond
	// silenceLimit is how long a subscription may be silent, without answers to pings,
	// before a new one is tried.
	silenceLimit = 2 * time.Second
	// resubscribeEvery is the time between tries, and forbiddenEvery that after an error
	// in the server's answer.
	resubscribeEvery = 100 * time.Millisecond
	forbiddenEvery   = 5 * time.Second
)

// Watch implements store.Watchable. It holds one connection.
func (s *Store) Watch(ctx context.Context, o store.Observer) {
	for ctx.Err() == nil {
		s.watchPrimary(ctx, o)
	}
}

// watchPrimary keeps a subscription at the primary, and listens to the topology, also while
// the subscription fails. It returns when another server is the primary.
func (s *Store) watchPrimary(ctx context.Context, o store.Observer) {
	finding, found := context.WithTimeout(ctx, silenceLimit)
	p, err := s.current(finding)
	found()
	if err != nil {
		if ctx.Err() == nil {
			s.lost(ctx, o, err)
		}
		return
	}
	watching, end := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.watched, s.resubscribe = p.addr, end
	isCurrent, topology := s.primary == p, s.topology
	s.mu.Unlock()
	if !isCurrent {
		end(nil)
		return
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		topology.listen(watching, listener{
			moved:     func() { s.look(watching) },
			promoting: func() { s.hold(p.addr, promotionTime) },
			aborted:   func() { s.hold(p.addr, 0) },
		})
	})
	for watching.Err() == nil {
		err = s.watchAt(watching, p.addr, o)
		s.look(watching)
		if watching.Err() == nil {
			s.lost(watching, o, err)
		}
	}
	end(nil)
	listening.Wait()
	if ctx.Err() == nil {
		o.Lost(errMoved)
	}
}

// lost reports the end of a subscription, and waits until it is time for another try.
func (s *Store) lost(ctx context.Context, o store.Observer, err error) {
	err = s.diagnose(err)
	o.Lost(err)
	wait := resubscribeEvery
	if isReply(err) && !isPassing(err) && !s.isMoving(err) {
		wait = forbiddenEvery // the server works, but refuses
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// watchAt subscribes at a server, and reports until the subscription ends.
//
// It has a client of its own. Failed dials of earlier tries then do not count; see
// Store.try. It uses Receive, since Channel would reconnect silently and drop messages. It
// gives up a subscription after its first error, since go-redis would renew it silently.
func (s *Store) watchAt(ctx context.Context, addr string, o store.Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	options := s.target.clientOptions(s.life, addr)
	s.mu.Unlock()
	s.keys.nameConnections(options)
	client := redis.NewClient(options)
	subscription := client.Subscribe(ctx)
	pinging := make(chan struct{})
	// Only closing the subscription ends a Receive early.
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = subscription.Close()
	})
	defer func() {
		cancel()
		<-pinging
		<-closed
		_ = client.Close()
	}()

	started := time.Now()
	dialing, dialed := context.WithTimeout(ctx, silenceLimit)
	defer dialed()
	if err := s.confirm(dialing, client, addr); err != nil {
		close(pinging)
		return fmt.Errorf("subscribing: %w", err)
	}
	if err := subscription.Subscribe(dialing, s.keys.events()); err != nil {
		close(pinging)
		return fmt.Errorf("subscribing: %w", err)
	}
	s.checkPolicy(dialing, client)
	go func() {
		defer close(pinging)
		s.ping(ctx, subscription, started, func() error { return s.confirm(ctx, client, addr) })
	}()
	for {
		message, err := receive(ctx, subscription)
		if err != nil {
			return fmt.Errorf("receiving events: %w", err)
		}
		switch m := message.(type) {
		case *redis.Subscription:
			o.Subscribed()
			o.Alive(started)
		case *redis.Pong:
			if sent, err := strconv.ParseInt(m.Payload, 10, 64); err == nil {
				o.Alive(started.Add(time.Duration(sent)))
			}
		case *redis.Message:
			event, err := decodeEvent(m.Payload)
			if err != nil {
				s.complain("", "this node drops its local entries, since it does not understand an event", err)
				o.Subscribed()
				continue
			}
			o.Changed(event)
		}
	}
}

// ping sends pings that prove the subscription alive. Each ping carries its time, and the
// answer returns it. A server that is not known to be the primary gets none.
func (s *Store) ping(ctx context.Context, subscription *redis.PubSub, started time.Time, confirm func() error) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		now := time.Since(started)
		if confirm() != nil {
			s.look(ctx)
		} else if pingOn(ctx, subscription, strconv.FormatInt(int64(now), 10)) != nil {
			// Receive gets the same error, or reaches silenceLimit.
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// receive returns the next message of a subscription. After an error, go-redis connects
// anew before it returns. It would wait for a hung server without end.
func receive(ctx context.Context, on *redis.PubSub) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, silenceLimit)
	defer cancel()
	return on.ReceiveTimeout(ctx, silenceLimit)
}

// pingOn sends a PING. It may have to connect anew too.
func pingOn(ctx context.Context, on *redis.PubSub, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, silenceLimit)
	defer cancel()
	return on.Ping(ctx, payload)
}

// confirm asks the topology whether the server at addr is still the primary.
func (s *Store) confirm(ctx context.Context, client *redis.Client, addr string) error {
	s.mu.Lock()
	topology := s.topology
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return topology.confirm(ctx, client, addr)
}
