package redisstore

import (
	"context"
	"fmt"
	"strconv"
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
		err := s.diagnose(s.watchOnce(ctx, o))
		if ctx.Err() != nil {
			return
		}
		o.Lost(err)
		wait := resubscribeEvery
		if isReply(err) && !isPassing(err) {
			wait = forbiddenEvery // the server works, but refuses
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// watchOnce subscribes, and reports until the subscription ends.
//
// It has a client of its own. Failed dials of earlier tries then do not count; see
// Store.try. It uses Receive, since Channel would reconnect silently and drop messages. It
// gives up a subscription after its first error, since go-redis would renew it silently.
func (s *Store) watchOnce(ctx context.Context, o store.Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	options := s.target.clientOptions(s.life)
	s.keys.nameConnections(options)
	client := redis.NewClient(options)
	s.resubscribe = cancel
	s.mu.Unlock()
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
	if err := subscription.Subscribe(dialing, s.keys.events()); err != nil {
		close(pinging)
		return fmt.Errorf("subscribing: %w", err)
	}
	s.checkPolicy(dialing, client)
	go func() {
		defer close(pinging)
		ping(ctx, subscription, started)
	}()
	for {
		message, err := subscription.ReceiveTimeout(ctx, silenceLimit)
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
// answer returns it.
func ping(ctx context.Context, subscription *redis.PubSub, started time.Time) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		err := subscription.Ping(ctx, strconv.FormatInt(int64(time.Since(started)), 10))
		if err != nil {
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
