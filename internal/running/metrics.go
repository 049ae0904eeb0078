package running

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// collector gives Prometheus the metrics of one cache. It reads the counters of the cache
// at each scrape. Every configuration has a registry of its own, so counters that belong
// to a registry would begin at 0 after each reload.
type collector struct {
	read  func() snapshot
	descs []*prometheus.Desc

	requests, duration, noCache                             *prometheus.Desc
	queueJobs, maxQueueJobs, queueBytes, maxQueueBytes      *prometheus.Desc
	queueWait                                               *prometheus.Desc
	bodyBytes, maxBodyBytes, bodiesWaiting, bulkRequests    *prometheus.Desc
	storeDuration, storeErrors, batchSize, joined           *prometheus.Desc
	up, writable, keys, maxKeys, bytes, maxBytes            *prometheus.Desc
	watchers, watchEvents, watchersDropped                  *prometheus.Desc
	evictions, evictionsUnread, deletedByPrefix, lostRaises *prometheus.Desc
	expiring, expired                                       *prometheus.Desc
	localEntries, localBytes, localMaxBytes, localEvictions *prometheus.Desc
	subscribed, events, subscriptionsLost, eventGaps        *prometheus.Desc
	breaker, retries, clientRenewals, repairs               *prometheus.Desc
	partitions, partitionUp, partitionWritable              *prometheus.Desc
	emptiest, fullest                                       *prometheus.Desc
}

// snapshot has the numbers of one scrape.
type snapshot struct {
	answered OperationSet // by some handler
	requests *RequestCounts
	engine   engine.Stats
	bodies   BodyStats
	bulk     int64
	store    storeState
	redis    *redisstore.Stats // nil for the embedded store
	spread   int               // the number of partitions in Redis
}

func newCollector(s *SharedSettings, read func() snapshot) *collector {
	labels := prometheus.Labels{"namespace": s.Namespace, "store": s.StoreName()}
	c := &collector{read: read}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		d := prometheus.NewDesc(name, help, variable, labels)
		c.descs = append(c.descs, d)
		return d
	}
	c.requests = desc("caddy_redis_proxy_requests_total", "Requests answered.", "operation", "outcome")
	c.duration = desc("caddy_redis_proxy_request_duration_seconds", "How long requests took until they were answered.", "operation")
	c.noCache = desc("caddy_redis_proxy_no_cache_requests_total", "Reads that skipped the local tier because the client asked for it.")

	c.queueJobs = desc("caddy_redis_proxy_queue_jobs", "Writes that are not answered yet.")
	c.maxQueueJobs = desc("caddy_redis_proxy_max_queue_jobs", "The most writes that may be unanswered (max_queue_jobs).")
	c.queueBytes = desc("caddy_redis_proxy_queue_bytes", "Bytes of writes that are not answered yet.")
	c.maxQueueBytes = desc("caddy_redis_proxy_max_queue_bytes", "The most bytes of unanswered writes (max_queue_bytes).")
	c.queueWait = desc("caddy_redis_proxy_queue_wait_seconds", "How long writes waited for the worker.")

	c.bodyBytes = desc("caddy_redis_proxy_body_bytes", "Bytes reserved for arriving request bodies until their writes are answered.")
	c.maxBodyBytes = desc("caddy_redis_proxy_max_body_bytes", "The most bytes that may be reserved for request bodies (max_queue_bytes).")
	c.bodiesWaiting = desc("caddy_redis_proxy_bodies_waiting", "Request bodies that wait for room and are not read yet.")
	c.bulkRequests = desc("caddy_redis_proxy_bulk_requests", "Bulk requests that are running.")

	c.storeDuration = desc("caddy_redis_proxy_store_call_duration_seconds", "How long calls to the store took, including failed calls.", "call")
	c.storeErrors = desc("caddy_redis_proxy_store_errors_total", "Calls to the store that failed.", "call", "kind")
	c.batchSize = desc("caddy_redis_proxy_batch_size", "Keys or writes in a call to the store.", "call")
	c.joined = desc("caddy_redis_proxy_joined_fetches_total", "Reads that joined the fetch of another read of the same key (single flight).")

	c.up = desc("caddy_redis_proxy_up", "Whether the store answers reads.")
	c.writable = desc("caddy_redis_proxy_writable", "Whether the store takes writes.")
	c.keys = desc("caddy_redis_proxy_keys", "Entries in the store.")
	c.maxKeys = desc("caddy_redis_proxy_max_keys", "The most entries that the store may have.")
	c.bytes = desc("caddy_redis_proxy_bytes", "Bytes in the store, keys and values.")
	c.maxBytes = desc("caddy_redis_proxy_max_bytes", "The most bytes that the store may have; 0 is no limit.")
	c.evictions = desc("caddy_redis_proxy_evictions_total", "Entries that writes or limits of this process evicted from the store.")
	c.evictionsUnread = desc("caddy_redis_proxy_evictions_unread_total", "Evicted entries that were never read from the store.")
	c.expiring = desc("caddy_redis_proxy_expiring_keys", "Entries in the store that have a time at which they expire.")
	c.expired = desc("caddy_redis_proxy_expired_total", "Expired entries that this process removed from the store.")
	c.deletedByPrefix = desc("caddy_redis_proxy_deleted_by_prefix_total", "Entries that deletions by prefix deleted.")
	c.lostRaises = desc("caddy_redis_proxy_lost_raises_total", "Reads that the store answered without counting them for eviction.")

	c.watchers = desc("caddy_redis_proxy_watchers", "Clients that watch now.")
	c.watchEvents = desc("caddy_redis_proxy_watch_events_total", "Events sent to clients that watch.")
	c.watchersDropped = desc("caddy_redis_proxy_watchers_dropped_total", "Clients that watched and were cut off because they were too slow.")

	c.localEntries = desc("caddy_redis_proxy_local_entries", "Entries in the local tier.")
	c.localBytes = desc("caddy_redis_proxy_local_bytes", "Bytes that the local tier takes.")
	c.localMaxBytes = desc("caddy_redis_proxy_local_max_bytes", "The most bytes that the local tier may take.")
	c.localEvictions = desc("caddy_redis_proxy_local_evictions_total", "Entries that the local tier evicted to make room.")

	// These metrics are for Redis only. They are described for the embedded store too,
	// since a collector need not collect all metrics that it describes.
	c.subscribed = desc("caddy_redis_proxy_subscribed", "Whether this process is known to receive events of other processes' writes.")
	c.events = desc("caddy_redis_proxy_events_total", "Events received from the store.")
	c.subscriptionsLost = desc("caddy_redis_proxy_subscriptions_lost_total", "How often the subscription to the store's events was lost.")
	c.eventGaps = desc("caddy_redis_proxy_event_gaps_total", "How often events were missing, and all local entries were dropped.")
	c.breaker = desc("caddy_redis_proxy_breaker_state", "1 for the current state of the circuit breaker, else 0.", "state")
	c.retries = desc("caddy_redis_proxy_store_retries_total", "Calls to Redis that were sent again.", "kind")
	c.clientRenewals = desc("caddy_redis_proxy_client_renewals_total", "How often all connections to Redis were replaced.")
	c.repairs = desc("caddy_redis_proxy_repairs_total", "Repaired disagreements between values, meta, ranks and state in Redis.")

	c.partitions = desc("caddy_redis_proxy_partitions", "Over how many partitions the entries are spread.")
	// The rest is for several partitions only.
	c.partitionUp = desc("caddy_redis_proxy_partition_up", "Whether the partition answers reads.", "partition")
	c.partitionWritable = desc("caddy_redis_proxy_partition_writable", "Whether the partition takes writes.", "partition")
	c.emptiest = desc("caddy_redis_proxy_emptiest_partition_keys", "Entries in the partition that has fewest.")
	c.fullest = desc("caddy_redis_proxy_fullest_partition_keys", "Entries in the partition that has most.")
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	to, r := sink(metrics), c.read()
	c.collectRequests(to, r.answered, r.requests)
	c.collectEngine(to, &r.engine)
	to.gauge(c.bodyBytes, float64(r.bodies.Bytes))
	to.gauge(c.maxBodyBytes, float64(r.bodies.MaxBytes))
	to.gauge(c.bodiesWaiting, float64(r.bodies.Waiting))
	to.gauge(c.bulkRequests, float64(r.bulk))
	to.gauge(c.up, oneIf(r.store.Health.Reads == nil))
	to.gauge(c.writable, oneIf(r.store.Health.Writes == nil))
	if r.store.SizeErr == nil {
		c.collectSize(to, r.store.Size)
	}
	if r.redis != nil {
		c.collectRedis(to, &r.engine, r.redis)
		to.gauge(c.partitions, float64(r.spread))
		c.collectPartitions(to, r.store.Partitions)
	}
}

func (c *collector) collectRequests(to sink, answered OperationSet, counts *RequestCounts) {
	for op, byOutcome := range counts.Requests {
		total := uint64(0)
		for o, n := range byOutcome {
			total += n
			if n > 0 || isUsual(answered, Operation(op), Outcome(o)) {
				to.counter(c.requests, n, OperationNames[op], OutcomeNames[o])
			}
		}
		if total > 0 || Operation(op) == OpGet || Operation(op) == OpPost {
			to.histogram(c.duration, counts.Durations[op], OperationNames[op])
		}
	}
	to.counter(c.noCache, counts.NoCache)
}

// isUsual reports whether an outcome has a counter even before it happens. Prometheus sees
// no increase if a counter appears with 1.
func isUsual(answered OperationSet, op Operation, o Outcome) bool {
	if o.isError() {
		return answered.Has(op) && op.canFailWith(o)
	}
	switch op {
	case OpGet:
		return o == OutcomeLocal || o == OutcomeStore || o == OutcomeStale || o == OutcomeAbsent
	case OpPost:
		return o == OutcomeCreated || o == OutcomeConflict
	}
	return false
}

func (c *collector) collectEngine(to sink, s *engine.Stats) {
	to.gauge(c.queueJobs, float64(s.QueueJobs))
	to.gauge(c.maxQueueJobs, float64(s.MaxQueueJobs))
	to.gauge(c.queueBytes, float64(s.QueueBytes))
	to.gauge(c.maxQueueBytes, float64(s.MaxQueueBytes))
	to.histogram(c.queueWait, s.QueueWait)

	for _, call := range []struct {
		name  string
		calls *engine.Calls
	}{{"fetch", &s.Fetches}, {"apply", &s.Applies}} {
		to.histogram(c.storeDuration, call.calls.Duration, call.name)
		to.histogram(c.batchSize, call.calls.Size, call.name)
		for _, kind := range engine.ErrorKinds {
			to.counter(c.storeErrors, call.calls.Errors[kind], call.name, kind)
		}
	}
	to.counter(c.joined, s.Joined)
	to.counter(c.evictions, s.Evicted)
	to.counter(c.evictionsUnread, s.EvictedUnread)
	to.counter(c.expired, s.Expired)
	to.counter(c.deletedByPrefix, s.DeletedByPrefix)
	to.counter(c.lostRaises, s.LostRaises)

	to.gauge(c.watchers, float64(s.Watchers))
	to.counter(c.watchEvents, s.WatchEvents)
	to.counter(c.watchersDropped, s.WatchersDropped)
	to.gauge(c.localEntries, float64(s.Local.Entries))
	to.gauge(c.localBytes, float64(s.Local.Bytes))
	to.gauge(c.localMaxBytes, float64(s.Local.MaxBytes))
	to.counter(c.localEvictions, s.Local.Evictions)
}

func (c *collector) collectSize(to sink, size store.Size) {
	to.gauge(c.keys, float64(size.Keys))
	to.gauge(c.bytes, float64(size.Bytes))
	to.gauge(c.expiring, float64(size.Expiring))
	if size.Limits.MaxKeys > 0 { // else no call has set limits yet
		to.gauge(c.maxKeys, float64(size.Limits.MaxKeys))
		to.gauge(c.maxBytes, float64(size.Limits.MaxBytes))
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (c *collector) collectRedis(to sink, s *engine.Stats, r *redisstore.Stats) {
	to.gauge(c.subscribed, oneIf(s.Subscribed))
	to.counter(c.events, s.Events)
	to.counter(c.subscriptionsLost, s.SubscriptionsLost)
	to.counter(c.eventGaps, s.EventGaps)
	for _, state := range redisstore.BreakerStates {
		to.gauge(c.breaker, oneIf(state == r.Breaker), state)
	}
	for _, kind := range redisstore.RetryKinds {
		to.counter(c.retries, r.Retries[kind], kind)
	}
	to.counter(c.clientRenewals, r.ClientRenewals)
	to.counter(c.repairs, r.Mended)
}

// collectPartitions shows which partition fails, and how evenly the entries are spread. More
// numbers of each partition would be many series.
func (c *collector) collectPartitions(to sink, states []engine.PartitionState) {
	if len(states) == 0 {
		return
	}
	var keys []int
	for i := range states {
		s := &states[i]
		name := strconv.Itoa(i)
		to.gauge(c.partitionUp, oneIf(s.Health.Reads == nil), name)
		to.gauge(c.partitionWritable, oneIf(s.Health.Writes == nil), name)
		if s.Err == nil {
			keys = append(keys, s.Size.Keys)
		}
	}
	if len(keys) == len(states) {
		to.gauge(c.emptiest, float64(slices.Min(keys)))
		to.gauge(c.fullest, float64(slices.Max(keys)))
	}
}

// snapshot reads all numbers of a scrape. It asks the store only for its size and health.
func (c *Cache) snapshot() snapshot {
	r := snapshot{
		answered: OperationSet(c.answered.Load()),
		requests: c.Requests.Counts(),
		engine:   c.Engine.Stats(),
		bodies:   c.Bodies.Stats(),
		bulk:     c.Bulk.Streams(),
		store:    c.storeState.get(c),
	}
	if c.redis != nil {
		stats := c.redis.Stats()
		r.redis, r.spread = &stats, len(c.redis.Stores())
	}
	return r
}

// sink receives metrics.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (s sink) histogram(d *prometheus.Desc, h engine.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	count := uint64(0)
	for i, bound := range h.Bounds {
		count += h.Counts[i]
		buckets[bound] = count
	}
	count += h.Counts[len(h.Bounds)]
	s <- prometheus.MustNewConstHistogram(d, count, h.Sum, buckets, labels...)
}

var _ prometheus.Collector = (*collector)(nil)
