// Package running holds the caches that run. A cache outlives configurations: it has the
// engine, counters, history, arriving request bodies, and the logger of the configuration
// in effect.
package running

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// checkTimeout bounds the first check of a Redis server, since provisioning should be
// fast.
const checkTimeout = time.Second

// Cache is an engine with everything else that outlives configurations.
type Cache struct {
	Engine   *engine.Engine
	Requests *RequestCounters
	Bodies   *Bodies
	Bulk     Bulk
	History  *History

	redis      *redisstore.Partitions // nil for the embedded store
	log        *handoverLog
	identity   string
	namespace  string
	collector  *collector
	storeState storeStateCache
	health     *healthChecks
	nodes      nodesCache
	answered   atomic.Uint32 // an OperationSet

	// The oldest registration is in effect. Caddy provisions a configuration, and cleans
	// it up again if it rejects it, while the old one stays in use. So a newer
	// registration waits until no older one is left.
	mu            sync.Mutex
	registrations []*registration
	lastShared    SharedSettings // of the last registration, once there is none
}

// Prepare builds the answer for an entry when it is fetched; see engine.Options.
type Prepare func(key string, e *store.Entry) (prepared any, size int)

func newCache(ctx context.Context, r Registration, prepare Prepare) *Cache {
	s := &r.Shared
	c := &Cache{
		log:           newHandoverLog(r.Logger),
		identity:      s.identity(),
		namespace:     s.Namespace,
		Requests:      NewRequestCounters(),
		Bodies:        NewBodies(s.Settings.MaxQueueBytes),
		health:        newHealthChecks(),
		registrations: []*registration{{Registration: r, handlers: 1}},
	}
	c.collector = newCollector(s, c.snapshot)
	log := s.withNames(c.log.Logger())
	r.warnOfCertificates()
	options := engine.Options{Logger: log, Namespace: s.Namespace, Prepare: prepare}
	if s.Target == nil {
		log.Warn("values are kept in this process and end with it; set store to the URL of a Redis server to keep them")
		c.Engine = engine.New(memstore.New(), s.Settings, options)
	} else {
		c.redis = redisstore.NewPartitions(redisstore.Config{Target: s.Target, Namespace: s.Namespace, Logger: log}, s.Partitions)
		ctx, cancel := context.WithTimeout(ctx, min(s.Settings.Timeout, checkTimeout))
		defer cancel()
		c.redis.CheckOrWarn(ctx)
		c.redis.CheckDurability(ctx, s.Settings.Durability)
		c.Engine = engine.NewPartitioned(partitionsOf(c.redis), s.Settings, options)
	}
	c.History = startHistory(c.Totals)
	return c
}

// partitionsOf returns a namespace in Redis as the engine takes it.
func partitionsOf(r *redisstore.Partitions) engine.Partitions {
	p := engine.Partitions{Locate: r.Locate, Keep: r.Keep, Close: r.Close}
	for _, s := range r.Stores() {
		p.Stores = append(p.Stores, s)
	}
	return p
}

// Namespace returns the namespace of the cache in the store.
func (c *Cache) Namespace() string { return c.namespace }

// ID names the cache for people and in URLs. It differs for each identity, but does not
// show the address of the server, which may be confidential.
func (c *Cache) ID() string {
	sum := sha256.Sum256([]byte(c.identity))
	return c.namespace + "." + hex.EncodeToString(sum[:4])
}

// IsEmbedded reports whether the values live in this process.
func (c *Cache) IsEmbedded() bool { return c.redis == nil }

// Partitions asks for the states of the partitions. The list is empty if there is only one.
func (c *Cache) Partitions(ctx context.Context) []engine.PartitionState {
	if c.redis == nil || len(c.redis.Stores()) == 1 {
		return nil
	}
	return c.Engine.Partitions(ctx)
}

// Breaker returns the state of the circuit breaker before Redis, the worst of all
// partitions. It is empty for the embedded store.
func (c *Cache) Breaker() string {
	if c.redis == nil {
		return ""
	}
	return c.redis.Breaker()
}

// Nodes returns the nodes that Redis lists, and their number. The embedded store has none.
func (c *Cache) Nodes(subscribed bool) ([]redisstore.Node, int) {
	if c.redis == nil {
		return nil, 0
	}
	return c.nodes.get(c.redis, subscribed)
}

// RegisterMetrics registers the metrics of the cache, and that of the build, for a
// configuration. Handlers that share a cache share its collector. The operations in answered
// are added to those that handlers of the cache answer.
func (c *Cache) RegisterMetrics(registry *prometheus.Registry, answered OperationSet) error {
	c.answered.Or(uint32(answered))
	return errors.Join(registerShared(registry, c.collector), registerShared(registry, newBuildInfo()))
}

// Destruct closes the engine, which first applies the queued writes.
func (c *Cache) Destruct() error {
	c.History.Stop()
	c.Bodies.Close()
	return c.Engine.Close()
}
