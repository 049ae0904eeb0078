// Package redisstore keeps entries in Redis 6.2 or newer, or Valkey. Every
// change is one atomic script, so that any number of processes may share a
// namespace.
package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Config says where a Store keeps its entries.
type Config struct {
	Target *Target
	// Namespace names the keys in Redis; see keyspace.
	Namespace string
	Logger    *zap.Logger
}

// Store is a namespace in Redis. It connects when it is first used.
type Store struct {
	keys    keyspace
	logger  *zap.Logger
	writers writers

	client  atomic.Pointer[redis.Client]
	closing sync.Once
	closed  atomic.Bool

	mended atomic.Uint64
}

var _ store.Watchable = (*Store)(nil)

// New returns the store that c describes. It does not connect.
func New(c Config) *Store {
	routeClientLog(c.Logger)
	s := &Store{keys: keyspace{namespace: c.Namespace, db: c.Target.options.DB}, logger: c.Logger}
	s.client.Store(redis.NewClient(c.Target.clientOptions()))
	return s
}

// SetTarget makes new connections go to t, which must have the identity of
// the old target: only credentials and options of the connection may differ.
func (s *Store) SetTarget(t *Target) {
	old := s.client.Swap(redis.NewClient(t.clientOptions()))
	if s.closed.Load() {
		// Close may have taken the old client before this one was there.
		_ = s.client.Load().Close()
	}
	// A call in progress on the old client fails, and is tried again on the
	// new one.
	_ = old.Close()
}

// Close closes all connections. Calls in progress fail.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.closed.Store(true)
		err = s.client.Load().Close()
	})
	return err
}

// Mended returns how many disagreements between the structures of the
// namespace were repaired: somebody else wrote to them, or Redis evicted one.
func (s *Store) Mended() uint64 { return s.mended.Load() }

// Check asks the server whether it answers, and warns of settings under which
// it loses entries. It changes nothing.
func (s *Store) Check(ctx context.Context) error {
	client := s.client.Load()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("pinging Redis: %w", err)
	}
	// Some providers forbid CONFIG; then there is nothing to say.
	config, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return nil
	}
	switch policy := config["maxmemory-policy"]; policy {
	case "", "noeviction":
	case "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl":
		s.logger.Warn("this maxmemory-policy may remove the records that keep writes from being applied twice; set it to noeviction",
			zap.String("maxmemory-policy", policy))
	default:
		s.logger.Warn("this maxmemory-policy removes all entries at once when memory is short; set it to noeviction",
			zap.String("maxmemory-policy", policy))
	}
	return nil
}
