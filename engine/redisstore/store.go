// Package redisstore keeps entries in Redis 6.2 or newer, or Valkey. Every
// change is one atomic script, so that any number of processes may share a
// namespace.
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
	breaker *breaker

	// life ends with Close: with it end dials and tries, which closing a
	// client does not interrupt.
	life context.Context
	end  context.CancelFunc

	// mu guards what follows.
	mu     sync.Mutex
	target *Target
	client *redis.Client
	closed bool
	// renewed is when the client was last replaced because its server could
	// only be read, renewPause for how long it is not again, and resubscribe
	// ends the subscription, which then begins anew.
	renewed     time.Time
	renewPause  time.Duration
	resubscribe context.CancelFunc

	// greeted says that some connection to the target got as far as its greeting,
	// so that it is a Redis, and one that is spoken to as it wants to be.
	greeted       atomic.Bool
	policyChecked atomic.Bool
	mended        atomic.Uint64
	renewals      atomic.Uint64
	retries       retries
	complaints    complaints
}

var _ store.Watchable = (*Store)(nil)

// New returns the store that c describes. It does not connect.
func New(c Config) *Store {
	s := &Store{
		keys:   keyspace{namespace: c.Namespace, db: c.Target.options.DB},
		logger: c.Logger,
		target: c.Target,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.client = s.newClient()
	s.breaker = newBreaker(c.Logger)
	return s
}

// newClient returns a client of the target in force. The caller holds mu, or is
// alone.
func (s *Store) newClient() *redis.Client {
	o := s.target.clientOptions(s.life)
	o.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		s.greeted.Store(true)
		if o.Password != "" || o.Username != "" {
			return nil
		}
		// A server that wants a password hangs up on a long command, whose sender
		// may then hear nothing. It answers a short one.
		err := s.diagnose(cn.Ping(ctx).Err())
		if store.CauseOf(err) != store.Credentials {
			return nil
		}
		return err
	}
	client := redis.NewClient(o)
	client.AddHook(newTracing(o))
	return client
}

// SetTarget makes new connections go to t, which must have the identity of
// the old target: only credentials and options of the connection may differ.
func (s *Store) SetTarget(t *Target) {
	s.mu.Lock()
	s.target = t
	s.greeted.Store(false)
	s.mu.Unlock()
	s.renewClient()
}

// renewClient replaces the client by one without a past. Calls in progress on
// the old one fail, and are tried again on the new one.
func (s *Store) renewClient() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.renewals.Add(1)
	_ = s.client.Close()
	s.client = s.newClient()
}

// leaveReadOnly makes new connections when a server says that it is read-only:
// after a failover the same name may lead to another one, and the old one keeps
// its connections open. It does so ever less often until a write goes through,
// since the server may be meant to be read only.
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
			s.resubscribe()
		}
	}
	s.mu.Unlock()
	if !recent {
		s.renewClient()
	}
}

// current returns the client to use, or store.ErrClosed.
func (s *Store) current() (*redis.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return s.client, nil
}

// written is told that the server takes writes.
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
	return s.client.Close()
}

// Mended returns how many disagreements between the structures of the
// namespace were repaired: somebody else wrote to them, or Redis evicted one.
func (s *Store) Mended() uint64 { return s.mended.Load() }

// Check asks the server whether it answers, and warns of settings under which
// it loses entries. It changes nothing.
func (s *Store) Check(ctx context.Context) error {
	client, err := s.current()
	if err != nil {
		return err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("pinging Redis: %w", s.diagnose(err))
	}
	s.checkPolicy(ctx, client)
	return nil
}

// CheckOrWarn is Check for who goes on without Redis: it warns of the error. That
// the server is down is known from then on, and not warned of once more.
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

// checkPolicy looks once, at the first connection that lasts long enough.
func (s *Store) checkPolicy(ctx context.Context, client *redis.Client) {
	if s.policyChecked.Load() {
		return
	}
	config, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil && !isReply(err) {
		return
	}
	// Some providers forbid CONFIG; then there is nothing to say.
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
