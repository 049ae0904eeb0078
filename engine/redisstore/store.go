// Package redisstore is a store in Redis 6.2 or newer, or in Valkey. Every change is one
// atomic script. So any number of processes may share a namespace.
package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Config describes a Store.
type Config struct {
	Target *Target
	// Namespace is in the names of all keys in Redis; see keyspace.
	Namespace string
	Logger    *zap.Logger

	partition, partitions int // for NewPartitions
}

// tag returns what the keys have between their braces.
func (c *Config) tag() string {
	if c.partitions > 1 {
		return partitionTag(c.Namespace, c.partition, c.partitions)
	}
	return c.Namespace
}

// Store is a namespace in Redis, or one of its partitions. It connects at the first call.
type Store struct {
	keys     keyspace
	logger   *zap.Logger
	writers  writers
	breaker  *breaker
	firstTry time.Duration // the constant, but longer where a test compares ranks

	// life ends with Close. It ends dials and tries, which closing a client does not
	// interrupt.
	life context.Context
	end  context.CancelFunc

	// mu guards the fields up to resubscribe.
	mu       sync.Mutex
	target   *Target
	topology topology
	// primary is the server that takes the writes; nil while it is not known. next is the
	// address of the next one, if a server named it.
	primary *primary
	next    string
	closed  bool
	// held is the server that gets no writes for a while; see hold.
	held held
	// renewed is when the client was last replaced because its server was read-only.
	// For renewPause it is not replaced again.
	renewed    time.Time
	renewPause time.Duration
	// watched is the address of the server that Watch subscribes at. resubscribe ends the
	// subscription, which then begins again.
	watched     string
	resubscribe context.CancelCauseFunc

	// greeted says that some connection to the target has finished its greeting. So the
	// target is a Redis, and TLS and address are right.
	greeted       atomic.Bool
	policyChecked atomic.Bool
	mended        atomic.Uint64
	renewals      atomic.Uint64
	retries       retries
	complaints    complaints
	durableOn     atomic.Pointer[durability]
}

var _ store.Watchable = (*Store)(nil)

// New returns the store that c describes. It does not connect yet.
func New(c Config) *Store {
	s := &Store{
		keys:     keyspace{tag: c.tag(), db: c.Target.options.DB},
		logger:   c.Logger,
		firstTry: firstTry,
		target:   c.Target,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.topology = s.target.topology(s.life, s.keys)
	s.breaker = newBreaker(c.Logger)
	return s
}

// written notes that the server takes writes.
func (s *Store) written() {
	s.mu.Lock()
	s.renewPause = 0
	s.mu.Unlock()
}

// Close closes all connections. Calls in progress fail.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.end()
	s.topology.close()
	if s.primary == nil {
		return nil
	}
	return s.primary.client.Close()
}

// Mended returns how many disagreements between the keys of the namespace were repaired.
// They arise if another program writes to the keys, or if Redis evicts one.
func (s *Store) Mended() uint64 { return s.mended.Load() }

// Check returns an error if the server does not answer a PING. It warns of settings with
// which the server loses entries. It changes nothing.
func (s *Store) Check(ctx context.Context) error {
	p, err := s.current(ctx)
	if err != nil {
		return s.diagnose(err)
	}
	if err := p.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("pinging Redis: %w", s.diagnose(err))
	}
	s.checkPolicy(ctx, p.client)
	return nil
}

// CheckOrWarn is Check, but it logs the error as a warning. If the server is down, later
// calls do not warn of that again.
func (s *Store) CheckOrWarn(ctx context.Context) {
	err := s.Check(ctx)
	switch {
	case err == nil:
	case !s.breaker.note(err):
		s.breaker.lose()
	default:
		s.refused(connecting, err)
	}
}

// checkPolicy checks maxmemory-policy once, at the first connection that answers.
func (s *Store) checkPolicy(ctx context.Context, client *redis.Client) {
	if s.policyChecked.Load() {
		return
	}
	config, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil && !isReply(err) {
		return
	}
	// Some providers forbid CONFIG. Then the policy is unknown.
	s.policyChecked.Store(true)
	switch policy := config["maxmemory-policy"]; policy {
	case "", "noeviction":
	case "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl":
		s.logger.Warn("this maxmemory-policy may remove the records that keep writes from being applied twice; set it to noeviction",
			zap.String("maxmemory-policy", policy))
	default:
		s.logger.Warn("this maxmemory-policy removes all entries at once when memory is short; set it to noeviction",
			zap.String("maxmemory-policy", policy))
	}
}
