package running

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// checkTimeout bounds the first look at a Redis server, below redis_timeout:
// provisioning should be fast.
const checkTimeout = time.Second

// Cache is an engine with everything that outlives the configurations which use it.
type Cache struct {
	Engine   *engine.Engine
	Requests *RequestCounters
	Arrivals *Arrivals
	History  *History

	redis     *redisstore.Store // nil for the embedded store
	log       *HandoverLog
	identity  string
	namespace string
	collector *collector
	size      sizeCache
	nodes     nodesCache
	answered  atomic.Uint32 // an OperationSet

	// The oldest registration is in effect. A configuration that Caddy goes on
	// to reject provisions and cleans up like any other, while the one in use
	// stays: so a newer one has to wait until no older one is left.
	mu            sync.Mutex
	registrations []*registration
	left          Shared // that of the last registration, once there is none
}

// Prepare makes an answer of an entry when it is fetched: see engine.Options.
type Prepare func(key string, e *store.Entry) (prepared any, size int)

func newCache(ctx context.Context, r Registration, prepare Prepare) *Cache {
	s := &r.Shared
	c := &Cache{
		log:           NewHandoverLog(r.Logger),
		identity:      s.identity(),
		namespace:     s.Namespace,
		Requests:      NewRequestCounters(),
		Arrivals:      NewArrivals(s.Settings.MaxQueueBytes),
		registrations: []*registration{{Registration: r, handlers: 1}},
	}
	c.collector = newCollector(s, c.reading)
	// A line that something is lost has to tell which of several caches it is.
	log := c.log.Logger().With(zap.String("namespace", s.Namespace), zap.String("store", s.StoreName()))
	options := engine.Options{Logger: log, Namespace: s.Namespace, Prepare: prepare}
	if s.Target == nil {
		log.Warn("values are kept in this process and end with it; set store to the URL of a Redis server to keep them")
		c.Engine = engine.New(memstore.New(), s.Settings, options)
	} else {
		c.redis = redisstore.New(redisstore.Config{Target: s.Target, Namespace: s.Namespace, Logger: log})
		ctx, cancel := context.WithTimeout(ctx, min(s.Settings.Timeout, checkTimeout))
		defer cancel()
		c.redis.CheckOrWarn(ctx)
		c.Engine = engine.New(c.redis, s.Settings, options)
	}
	c.History = StartHistory(c.Totals)
	return c
}

// Namespace returns that of the entries in the store.
func (c *Cache) Namespace() string { return c.namespace }

// ID names the cache for people and in URLs: without the server, which may be
// nobody's business, and still another one for each identity.
func (c *Cache) ID() string {
	sum := sha256.Sum256([]byte(c.identity))
	return c.namespace + "." + hex.EncodeToString(sum[:4])
}

// IsEmbedded reports whether the values live in this process.
func (c *Cache) IsEmbedded() bool { return c.redis == nil }

// Breaker returns the state of the circuit breaker before Redis. It is empty for the
// embedded store.
func (c *Cache) Breaker() string {
	if c.redis == nil {
		return ""
	}
	return c.redis.Breaker()
}

// Nodes returns the nodes that Redis tells of, and how many there are. There are none
// for the embedded store.
func (c *Cache) Nodes(subscribed bool) ([]redisstore.Node, int) {
	if c.redis == nil {
		return nil, 0
	}
	return c.nodes.get(c.redis, subscribed)
}

// RegisterMetrics makes the metrics of the cache known to a configuration. Handlers
// that answer other operations than those before them tell so.
func (c *Cache) RegisterMetrics(registry *prometheus.Registry, answered OperationSet) error {
	c.answered.Or(uint32(answered))
	return c.collector.register(registry)
}

// Destruct closes the engine, which carries out the writes that wait.
func (c *Cache) Destruct() error {
	c.History.Stop()
	c.Arrivals.Close()
	return c.Engine.Close()
}
