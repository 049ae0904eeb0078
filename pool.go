package redisproxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// pool holds one engine for each identity: one worker, also while an old and a
// new configuration overlap.
var pool = caddy.NewUsagePool()

// checkTimeout bounds the first look at a Redis server, below redis_timeout:
// provisioning should be fast.
const checkTimeout = time.Second

// pooledEngine is an engine with those who use it.
type pooledEngine struct {
	engine *engine.Engine
	redis  *redisstore.Store // nil for the embedded store
	log    *running.HandoverLog

	identity  string
	namespace string
	// What was counted survives reloads, with the engine.
	requests  *running.RequestCounters
	history   *running.History
	arrivals  *running.Arrivals
	collector *collector
	size      running.SizeCache
	nodes     running.NodesCache
	// methods are a methodSet of those that some handler ever answered.
	methods atomic.Uint32

	// The oldest registration is in effect. A configuration that Caddy goes on
	// to reject provisions and cleans up like any other, while the one in use
	// stays: so a newer one has to wait until no older one is left.
	mu            sync.Mutex
	registrations []*registration
	left          shared // that of the last registration, once there is none
}

// registration is what one configuration wants of an engine.
type registration struct {
	config   any // equal for all handlers of a configuration, and only those
	shared   shared
	logger   *zap.Logger
	handlers int
}

// acquire joins the engine of s's identity, and makes it if there is none.
func acquire(ctx context.Context, config any, s shared, logger *zap.Logger) (*pooledEngine, error) {
	identity := s.identity()
	value, loaded, err := pool.LoadOrNew(identity, func() (caddy.Destructor, error) {
		return newPooledEngine(ctx, config, s, logger), nil
	})
	if err != nil {
		return nil, err
	}
	p := value.(*pooledEngine)
	if loaded {
		if err := p.register(config, s, logger); err != nil {
			_, _ = pool.Delete(identity)
			return nil, err
		}
	}
	return p, nil
}

// release undoes acquire.
func release(p *pooledEngine, config any, identity string) error {
	p.unregister(config)
	_, err := pool.Delete(identity)
	return err
}

func newPooledEngine(ctx context.Context, config any, s shared, logger *zap.Logger) *pooledEngine {
	p := &pooledEngine{
		log:           running.NewHandoverLog(logger),
		identity:      s.identity(),
		namespace:     s.namespace,
		requests:      running.NewRequestCounters(),
		arrivals:      running.NewArrivals(s.settings.MaxQueueBytes),
		registrations: []*registration{{config: config, shared: s, logger: logger, handlers: 1}},
	}
	p.collector = newCollector(&s, p.reading)
	// A line that something is lost has to tell which of several caches it is.
	log := p.log.Logger().With(zap.String("namespace", s.namespace), zap.String("store", s.storeName()))
	options := engine.Options{Logger: log, Namespace: s.namespace, Prepare: prepare}
	if s.target == nil {
		log.Warn("values are kept in this process and end with it; set store to the URL of a Redis server to keep them")
		p.engine = engine.New(memstore.New(), s.settings, options)
		p.history = running.StartHistory(p.totals)
		return p
	}

	p.redis = redisstore.New(redisstore.Config{Target: s.target, Namespace: s.namespace, Logger: log})
	ctx, cancel := context.WithTimeout(ctx, min(s.settings.Timeout, checkTimeout))
	defer cancel()
	p.redis.CheckOrWarn(ctx)
	p.engine = engine.New(p.redis, s.settings, options)
	p.history = running.StartHistory(p.totals)
	return p
}

// register counts one more handler of a configuration. What the configuration
// wants takes effect when no older one is left.
func (p *pooledEngine) register(config any, s shared, logger *zap.Logger) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.registrations {
		if r.config != config {
			continue
		}
		if name := r.shared.difference(&s); name != "" {
			return fmt.Errorf("%s differs between handlers that share the namespace %q of one store: "+
				"give them the same value, or another namespace", name, s.namespace)
		}
		r.handlers++
		return nil
	}
	p.registrations = append(p.registrations, &registration{config: config, shared: s, logger: logger, handlers: 1})
	return nil
}

// unregister counts one handler less. If its configuration was in effect and
// this was its last handler, the next one takes effect.
func (p *pooledEngine) unregister(config any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.registrations, func(r *registration) bool { return r.config == config })
	r := p.registrations[i]
	if r.handlers--; r.handlers > 0 {
		return
	}
	p.registrations = slices.Delete(p.registrations, i, i+1)
	if len(p.registrations) == 0 {
		p.left = r.shared
	}
	if i > 0 || len(p.registrations) == 0 {
		return
	}
	next := p.registrations[0]
	p.log.HandOver(next.logger)
	if next.shared.connection != r.shared.connection {
		p.redis.SetTarget(next.shared.target)
	}
	p.engine.Configure(next.shared.settings)
	p.arrivals.Configure(next.shared.settings.MaxQueueBytes)
}

// id names the cache for people and in URLs: without the server, which may be
// nobody's business, and still another one for each identity.
func (p *pooledEngine) id() string {
	sum := sha256.Sum256([]byte(p.identity))
	return p.namespace + "." + hex.EncodeToString(sum[:4])
}

// inForce returns what the configuration in effect wants, which the last one stays
// while the engine is closed.
func (p *pooledEngine) inForce() shared {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.registrations) == 0 {
		return p.left
	}
	return p.registrations[0].shared
}

// Destruct closes the engine, which carries out the writes that wait.
func (p *pooledEngine) Destruct() error {
	p.history.Stop()
	p.arrivals.Close()
	return p.engine.Close()
}
