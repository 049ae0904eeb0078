// Package redisproxy is the Caddy module http.handlers.redis_proxy: an HTTP
// key-value cache in front of Redis. It translates between HTTP and package
// engine, which does the work.
package redisproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler serves a key-value cache over HTTP. Values live in Redis, or in the
// memory of this process (`embedded`). A local tier in memory answers values that
// were read lately.
//
// `GET` and `HEAD {path_prefix}/{key}` answer the value. `POST` creates an entry
// and never overwrites one, `PUT` creates or replaces, `DELETE` removes.
// `max_keys` bounds the number of keys: when a new key needs room, the entry with
// the lowest rank is evicted, and among equal ranks the oldest. A read that Redis
// answers raises the rank by one. A local hit does not.
//
// Requests whose path is not at or below `path_prefix` go to the next handler.
// Errors are problem details (`application/problem+json`, RFC 9457), and their
// `detail` says what to do. With `pass_errors` the site answers them instead.
//
// All handlers with the same server, database and namespace share one engine:
// queue, workers, local tier and connections. It survives reloads. These handlers
// must agree: `store`, its credentials and certificates, and the settings from `partitions` to
// `unsubscribed_ttl`, without `max_key_size`, `max_value_size`, `max_answer_bytes`
// and `body_timeout`, must be equal. New values take effect when the configuration
// with the old values is gone.
//
// String fields take global placeholders such as `{env.REDIS_URL}`. A placeholder
// that is empty or unknown is an error. Placeholders in `key_prefix` are replaced
// for every request.
type Handler struct {
	// Where values live. `embedded` is the memory of this process; the values end
	// with it. Otherwise the URL of a Redis server:
	// `redis://user:password@host:6379/0`, `rediss://…` for TLS,
	// `unix:///path?db=0`. Default: `embedded`.
	Store string `json:"store,omitempty"`

	// The user of the Redis server, instead of a user in the URL, which has to be
	// percent-encoded. It needs `redis_password`. Default: the default user of the
	// server.
	RedisUsername string `json:"redis_username,omitempty"`

	// The password, instead of a password in the URL. Write
	// `{env.REDIS_PASSWORD}` or `{file./path/of/secret}`: Caddy's saved
	// configuration then does not contain it. Default: none.
	RedisPassword string `json:"redis_password,omitempty"`

	// Files with certificates in PEM form. A server of Redis is trusted if one of them
	// is that of its CA. For a store with TLS. Default: the CAs that the system trusts.
	RedisCA []string `json:"redis_ca,omitempty"`

	// Two files in PEM form: a client certificate for Redis, and its key. For a store
	// with TLS. Both files, and those of `redis_ca`, are read when the configuration is
	// loaded. Default: none.
	RedisCert []string `json:"redis_cert,omitempty"`

	// The name that the certificate of the server must have, if that is not the host in
	// the URL. Servers that Sentinels or a cluster name are mostly addresses. For a store
	// with TLS. Default: the host that is connected to.
	RedisServerName string `json:"redis_server_name,omitempty"`

	// The path under which keys live, literal and case-sensitive. `/` is allowed.
	// Default: `/cache`, or the path of an inline matcher in a Caddyfile.
	PathPrefix string `json:"path_prefix,omitempty"`

	// The name in the keys of Redis, such as `{cache}:values`: 1 to 64 of
	// `A-Z a-z 0-9 _ . : -`. Default: `cache`.
	Namespace string `json:"namespace,omitempty"`

	// The text before every key in the store. Tenants of one namespace with
	// different prefixes do not see each other's entries. Answers show the key
	// without it.
	//
	// It may have placeholders of the request, such as `{http.request.host}/`. It
	// must then end with a slash, and have a slash between two placeholders. If
	// the value of a placeholder is empty or has a slash, the request gets 400.
	// Default: none.
	KeyPrefix string `json:"key_prefix,omitempty"`

	// The methods that are on, of GET, HEAD, POST, PUT and DELETE; OPTIONS always
	// is. Other methods get 405. Default: GET, HEAD and POST.
	Methods []string `json:"methods,omitempty"`

	// Over how many parts of a Redis Cluster the entries are spread: 1 to 256. More than
	// one needs `redis+cluster://…`. Each partition has an equal, fixed share of `max_keys`
	// and `max_bytes`, and evicts by itself. The number of a namespace never changes:
	// export the entries, and import them into another namespace. Default: 1.
	Partitions *int `json:"partitions,omitempty"`

	// The largest number of entries. Lowering it evicts entries in bounded steps,
	// in the order of the policy. Default: 10000.
	MaxKeys *int `json:"max_keys,omitempty"`

	// The largest number of bytes, keys and values together; 0 is no limit.
	// Default: 0, and 256 MiB for the embedded store.
	MaxBytes *int64 `json:"max_bytes,omitempty"`

	// Which entry is evicted when there is no room:
	//
	// - `rank` (LFU without ageing): the entry that was read from the store least
	// often since its creation
	// - `lru`: the entry that was created or read from the store longest ago
	// - `adaptive` (recommended): the entry least worth keeping, by how often and
	// how lately it was read. It adapts the weight of both to the load
	//
	// You can change it at any time, and no entry is lost. Default: `rank`.
	Eviction string `json:"eviction,omitempty"`

	// Local hits count for the eviction policy too. They are counted by key, and
	// sent with the next call to the store, at most once a second and for at most
	// 1,000 keys. Without it, only reads that reach the store count.
	RankLocalHits bool `json:"rank_local_hits,omitempty"`

	// How long local memory answers a value after it was read. 0 switches the
	// local tier off. Default: 30s.
	LocalTTL *caddy.Duration `json:"local_ttl,omitempty"`

	// The largest size of the local tier in bytes: keys, values, ready answers
	// and overhead. Default: 64 MiB.
	LocalMaxBytes *int64 `json:"local_max_bytes,omitempty"`

	// How many writes may wait for the worker; more get 503. Default: 4096.
	MaxQueueJobs *int `json:"max_queue_jobs,omitempty"`

	// How many bytes the waiting writes may have, keys and values together.
	// Arriving bodies may have as many again, and one client may have a quarter of
	// that. At least `max_key_size` and `max_value_size` together. Default: 64 MiB.
	MaxQueueBytes *int64 `json:"max_queue_bytes,omitempty"`

	// The longest key in bytes, `key_prefix` included. Default: 512.
	MaxKeySize *int `json:"max_key_size,omitempty"`

	// The largest request body in bytes, as sent. A larger one gets 413.
	// Default: 1 MiB.
	MaxValueSize *int64 `json:"max_value_size,omitempty"`

	// How many bytes the values of one batch read may have together. The other
	// keys are listed under `omitted`. The first value is always answered.
	// Default: 8 MiB.
	MaxAnswerBytes *int64 `json:"max_answer_bytes,omitempty"`

	// How long a request body may pause while it arrives; then the request gets
	// 408. If Caddy's own `read_idle_timeout` is shorter, that one decides.
	// Default: 30s.
	BodyTimeout *caddy.Duration `json:"body_timeout,omitempty"`

	// How long a request may wait for the store, including the queue and all
	// tries; then it gets 503. Default: 1s.
	RedisTimeout *caddy.Duration `json:"redis_timeout,omitempty"`

	// What Redis must do with a write before it is answered: `none`; `replicas 1`, or
	// more, which waits until that many replicas have the write; or `fsync`, which waits
	// until the write is on the disk of Redis, of version 7.2 or newer. A write that did
	// not get so far within `redis_timeout` gets 503; it is in Redis and may be lost.
	// Default: `none`.
	Durability string `json:"durability,omitempty"`

	// How long the engine may take to apply the writes in the queue when it is
	// closed. Default: 5s.
	DrainTimeout *caddy.Duration `json:"drain_timeout,omitempty"`

	// While the store fails: how long after its `local_ttl` local memory may
	// still answer a value. Cache-Status says so. Default: 0, which is never.
	StaleIfError *caddy.Duration `json:"stale_if_error,omitempty"`

	// Replaces a longer `local_ttl` while this process may miss the events of
	// writes by other processes. Default: 1s.
	UnsubscribedTTL *caddy.Duration `json:"unsubscribed_ttl,omitempty"`

	// How long the entry of a write lives that names no `ttl`. Default: 0, which is for
	// ever, or `max_ttl` if that is set.
	DefaultTTL *caddy.Duration `json:"default_ttl,omitempty"`

	// The longest time that an entry may live. With a limit, every entry that is written
	// here expires. Default: 0, which is no limit.
	MaxTTL *caddy.Duration `json:"max_ttl,omitempty"`

	// The Cache-Control header of every 200. Empty sends none, and keeps one that
	// another handler has set. Default: `no-cache`, which keeps caches downstream
	// from serving values that have changed.
	//
	// If `key_prefix` has a placeholder that is not known to be part of the URL,
	// it must have `private`, `no-cache` or `no-store`. Otherwise a shared cache
	// would mix tenants.
	CacheControl *string `json:"cache_control,omitempty"`

	// How `Cache-Control: no-cache` in a request is treated. `honor` reads the
	// store instead of the local tier. `ignore` does nothing, because browsers and
	// some SDKs send the header unasked. Default: `honor`.
	ClientNoCache string `json:"client_no_cache,omitempty"`

	// What a POST or PUT that wrote is answered with: `minimal` sends headers alone,
	// `representation` also the entry, as GET would answer it. `Prefer: return=minimal`
	// or `return=representation` in a request (RFC 7240) decides for that request.
	// Default: `minimal`.
	RespondWith string `json:"respond_with,omitempty"`

	// Other origins, such as `https://app.example.com`, whose pages may use the cache:
	// they may send the methods that are on, and read the answers (CORS). Pages of the
	// site itself always may. POST, PUT and DELETE from pages of all other origins get
	// 403, and such pages cannot read the answers. Default: none.
	TrustedOrigins []string `json:"trusted_origins,omitempty"`

	// Pages of `trusted_origins` may send requests with the cookies and the remembered
	// passwords of their visitors, and read the answers. They need it only if cookies
	// tell who asks; they can send an `Authorization` of their own without it.
	TrustedCredentials bool `json:"trusted_credentials,omitempty"`

	// Lists the keys: `GET {path_prefix}?prefix=a/` answers those that begin with `a/`,
	// in pages. With DELETE in `methods`, `DELETE {path_prefix}?prefix=a/` deletes them.
	// Default: off.
	Listing bool `json:"listing,omitempty"`

	// How many clients may watch at the same time: `GET {path_prefix}?watch&prefix=a/` is a
	// stream of server-sent events, one for each change of a key that begins with `a/`.
	// More clients get 503. Default: 0, which is off.
	Watch *int `json:"watch,omitempty"`

	// Errors go to the site's `handle_errors`, which can send a 404 to an origin
	// server, for example. If it does not answer an error of 500 or more, Caddy
	// logs it at ERROR with the URI, which contains the key.
	PassErrors bool `json:"pass_errors,omitempty"`

	// Sets placeholders for every request that is answered here. It costs
	// allocations.
	//
	// - `{http.redis_proxy.status}`: the outcome, as the metric
	// `caddy_redis_proxy_requests_total` names it
	// - `{http.redis_proxy.key}`: the key, also if it is in the body; not set for a
	// batch read
	// - `{http.redis_proxy.ttl}`: for how many more seconds a local value is
	// fresh; negative if it answers because the store fails
	//
	// The access log gets the same values under `redis_proxy`. It then contains
	// keys, even confidential ones.
	Placeholders bool `json:"placeholders,omitempty"`

	logger        *zap.Logger
	reach         *reach
	server        *httpapi.Server
	configuration any // see running.Registration
	cache         *running.Cache
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.redis_proxy",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets defaults and joins the engine of the handler's identity. It
// changes nothing in the store, and works without it.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.reach = new(reach)
	if err := h.resolve(caddy.NewReplacer()); err != nil {
		return err
	}
	h.setDefaults()
	// Caddy validates after provisioning, but an engine must not start with wrong
	// settings.
	if err := h.Validate(); err != nil {
		return err
	}

	crossOrigin := http.NewCrossOriginProtection()
	for _, origin := range h.TrustedOrigins {
		if err := crossOrigin.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("trusted_origins: %w", err)
		}
	}
	shared, err := h.sharedSettings()
	if err != nil {
		return err
	}
	// The registry identifies the configuration: Caddy makes one for each configuration,
	// and all modules of the configuration get the same one. A module sees nothing else
	// that tells configurations apart.
	h.configuration = ctx.GetMetricsRegistry()
	registration := running.Registration{Configuration: h.configuration, Shared: shared, Logger: h.logger}
	if h.cache, err = running.Acquire(ctx, registration, httpapi.Prepare); err != nil {
		return err
	}
	h.warnOfFsync(&shared.Settings)
	h.warnOfSmallShares()
	methods, _ := httpapi.ParseMethods(h.Methods)
	h.server = httpapi.New(httpapi.Config{
		PathPrefix:         h.PathPrefix,
		KeyPrefix:          h.KeyPrefix,
		Methods:            methods,
		MaxKeySize:         *h.MaxKeySize,
		MaxValueSize:       *h.MaxValueSize,
		MaxAnswerBytes:     *h.MaxAnswerBytes,
		BodyTimeout:        time.Duration(*h.BodyTimeout),
		CacheControl:       *h.CacheControl,
		DefaultTTL:         time.Duration(*h.DefaultTTL),
		MaxTTL:             time.Duration(*h.MaxTTL),
		HonorNoCache:       h.ClientNoCache == noCacheHonor,
		RespondWith:        h.RespondWith,
		CrossOrigin:        crossOrigin,
		PassErrors:         h.PassErrors,
		Placeholders:       h.Placeholders,
		TrustedOrigins:     h.TrustedOrigins,
		TrustedCredentials: h.TrustedCredentials,
		Listing:            h.Listing,
		Watch:              *h.Watch,
		Logger:             h.logger,
		Cache:              h.cache,
	})
	h.server.WarnOfLongKeys(ctx)
	h.server.EndWithCaddy(ctx)
	if err := warnOfSharedPorts(ctx, h.logger); err != nil {
		return err
	}
	return h.cache.RegisterMetrics(ctx.GetMetricsRegistry(), httpapi.OperationsOf(methods, h.Listing, *h.Watch > 0))
}

// Cleanup releases the engine. The last handler that releases it closes it. Requests in
// progress may still use the engine, and then get an error that says so. So the handler
// keeps its fields.
func (h *Handler) Cleanup() error {
	if h.cache == nil {
		return nil // Provision failed before it joined
	}
	if h.server != nil {
		h.server.EndWatches()
	}
	return h.cache.Release(h.configuration)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ json.Unmarshaler            = (*Handler)(nil)
)
