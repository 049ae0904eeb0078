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

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler serves a key-value cache over HTTP. Values live in Redis, or in this
// process (`embedded`); a local tier in memory answers what was read lately.
//
// `GET` and `HEAD {path_prefix}/{key}` answer the value, `POST` creates and
// never overwrites, `PUT` creates or replaces, `DELETE` removes. The number of
// keys is bounded by `max_keys`: for a new one, the entry with the lowest rank
// leaves, among equal ranks the oldest. A read that Redis answers raises the
// rank by one; a read that the local tier answers does not.
//
// Requests whose path is not `path_prefix`, or below it, go to the next
// handler. Errors are answered as `application/problem+json` (RFC 9457), with
// a `detail` that says what to do, unless `pass_errors` is set.
//
// All handlers with the same server, database and namespace share one engine:
// queue, worker, local tier and connections. It survives reloads. `store`, its
// credentials, and the settings from `max_keys` to `unsubscribed_ttl`, without
// `max_key_size`, `max_value_size`, `max_answer_bytes` and `body_timeout`, must be
// the same in all its handlers of one configuration. Changed ones take effect when
// the configuration that had the old ones is gone.
//
// String fields take global placeholders such as `{env.REDIS_URL}`; one that is
// empty or unknown is an error. Those of `key_prefix` are replaced anew for
// every request.
type Handler struct {
	// Where values live: `embedded` for this process (they end with it), or the
	// URL of a Redis server: `redis://user:password@host:6379/0`, `rediss://…`
	// for TLS, `unix:///path?db=0`. Default: `embedded`.
	Store string `json:"store,omitempty"`

	// The user of the Redis server, instead of one in the URL, where some
	// characters have to be percent-encoded. It needs `redis_password`. Default:
	// the default user of the server.
	RedisUsername string `json:"redis_username,omitempty"`

	// The password, instead of one in the URL. Write `{env.REDIS_PASSWORD}`, or
	// `{file./path/of/secret}`, so that it does not land in Caddy's saved
	// configuration. Default: none.
	RedisPassword string `json:"redis_password,omitempty"`

	// The path under which keys live, literal and case-sensitive; `/` is
	// allowed. Default: `/cache`, or the path of an inline matcher in a
	// Caddyfile.
	PathPrefix string `json:"path_prefix,omitempty"`

	// The name under which Redis holds the entries: 1 to 64 of
	// `A-Z a-z 0-9 _ . : -`. Default: `cache`.
	Namespace string `json:"namespace,omitempty"`

	// What is put before every key, so that tenants of one namespace do not see
	// each other's entries; answers show the key without it. It may have
	// placeholders of the request, such as `{http.request.host}/`; it must then
	// end with a slash and have one between two placeholders, and a request that leaves one of them empty, or puts a
	// slash in its place, gets 400. Default: none.
	KeyPrefix string `json:"key_prefix,omitempty"`

	// The methods that are answered, of GET, HEAD, POST, PUT and DELETE; OPTIONS
	// always is. Others get 405. Default: GET, HEAD and POST.
	Methods []string `json:"methods,omitempty"`

	// The largest number of entries. Lowering it evicts, in the order of the
	// policy and in bounded steps. Default: 10000.
	MaxKeys *int `json:"max_keys,omitempty"`

	// The largest number of bytes, keys and values together; 0 is no limit.
	// Default: 0, and 256 MiB for the embedded store.
	MaxBytes *int64 `json:"max_bytes,omitempty"`

	// Which entry leaves when there is no room: with `rank` the one that the
	// store was asked for least often, with `lru` the one that was created or
	// asked for longest ago, with `adaptive`, which is recommended, the one
	// least worth keeping by how often and how lately, weighed as the load
	// demands. It may be changed at any time; no entry is lost by that.
	// Default: `rank`.
	Eviction string `json:"eviction,omitempty"`

	// Tells the eviction policy also of the answers of the local tier: how many
	// each key had is counted, and sent with the next call to the store, at most
	// once a second and for at most 1,000 keys. Without it the policy hears only
	// of reads that reach the store.
	RankLocalHits bool `json:"rank_local_hits,omitempty"`

	// How long a value that was read is answered from local memory; 0 switches
	// the local tier off. Default: 30s.
	LocalTTL *caddy.Duration `json:"local_ttl,omitempty"`

	// The largest size of the local tier in bytes: keys, values and what is
	// needed to keep them. Default: 64 MiB.
	LocalMaxBytes *int64 `json:"local_max_bytes,omitempty"`

	// How many writes may wait for the worker; more are answered with 503.
	// Default: 4096.
	MaxQueueJobs *int `json:"max_queue_jobs,omitempty"`

	// How many bytes the waiting writes may have, keys and values together; and
	// beside them as many again of bodies that are arriving, a quarter of them of
	// one client. At least `max_key_size` and `max_value_size` together.
	// Default: 64 MiB.
	MaxQueueBytes *int64 `json:"max_queue_bytes,omitempty"`

	// The longest key in bytes, with what `key_prefix` puts before it. Default:
	// 512.
	MaxKeySize *int `json:"max_key_size,omitempty"`

	// The largest request body in bytes, as sent; larger ones get 413.
	// Default: 1 MiB.
	MaxValueSize *int64 `json:"max_value_size,omitempty"`

	// The largest sum of values that a batch read answers, in bytes. What has no
	// room is listed under `omitted`; the first value is always answered. Default:
	// 8 MiB.
	MaxAnswerBytes *int64 `json:"max_answer_bytes,omitempty"`

	// How long a request body may pause, before the request is answered with
	// 408. Caddy's own `read_idle_timeout` holds too, where it is shorter.
	// Default: 30s.
	BodyTimeout *caddy.Duration `json:"body_timeout,omitempty"`

	// How long a request may wait for the store, the queue and all tries
	// included, before it is answered with 503. Default: 1s.
	RedisTimeout *caddy.Duration `json:"redis_timeout,omitempty"`

	// How long writes in the queue may take to be carried out when the engine is
	// closed. Default: 5s.
	DrainTimeout *caddy.Duration `json:"drain_timeout,omitempty"`

	// For how long after its `local_ttl` a value may be answered from local
	// memory while the store fails; Cache-Status says so. Default: 0, which is
	// never.
	StaleIfError *caddy.Duration `json:"stale_if_error,omitempty"`

	// Replaces a longer `local_ttl` while it is not known that this process
	// hears of what other processes write to the store. Default: 1s.
	UnsubscribedTTL *caddy.Duration `json:"unsubscribed_ttl,omitempty"`

	// The Cache-Control header of answers with a value. Empty sends none, and
	// leaves one alone that another handler has set. Default: `no-cache`, so
	// that nothing downstream serves values that have changed.
	// It must have `private`, `no-cache` or `no-store` if `key_prefix` has a
	// placeholder that is not known to be a part of the URL: a shared cache would
	// mix tenants.
	CacheControl *string `json:"cache_control,omitempty"`

	// What `Cache-Control: no-cache` in a request does: `honor` reads the store
	// instead of the local tier, `ignore` does nothing (browsers and some SDKs
	// send it unasked). Default: `honor`.
	ClientNoCache string `json:"client_no_cache,omitempty"`

	// Origins such as `https://app.example.com` whose pages may send POST, PUT
	// and DELETE. Such requests from pages of other origins than the site's own
	// get 403.
	TrustedOrigins []string `json:"trusted_origins,omitempty"`

	// Returns errors to Caddy instead of answering them, so that the site's
	// `handle_errors` can: a 404 may then go to an origin server. Those of 500
	// or more that it does not answer Caddy logs at ERROR with the URI, and so
	// with the key.
	PassErrors bool `json:"pass_errors,omitempty"`

	// Sets placeholders and fields of the access log for every request that is
	// answered here, which costs allocations:
	//
	// - `{http.redis_proxy.status}`: how it was answered, by the names that the
	// metric `caddy_redis_proxy_requests_total` has for outcomes
	// - `{http.redis_proxy.key}`: the key, also one in a body; not of a batch read
	// - `{http.redis_proxy.ttl}`: for how many more seconds a local value is
	// fresh; negative for one that answers since the store fails
	//
	// The access log gets the same under `redis_proxy`: keys that are nobody's
	// business end up there.
	Placeholders bool `json:"placeholders,omitempty"`

	prefix         string // PathPrefix without the slash of a mere "/"
	methods        methodSet
	maxKeySize     int
	maxValueSize   int64
	maxAnswerBytes int64
	bodyTimeout    time.Duration
	cacheControl   string
	vary           string // request headers that key_prefix depends on
	readNoCache    bool
	crossOrigin    *http.CrossOriginProtection
	logger         *zap.Logger
	reach          *reach

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
	// Caddy validates after provisioning, but an engine must not get to see
	// settings that are wrong.
	if err := h.Validate(); err != nil {
		return err
	}

	h.prefix = h.PathPrefix
	if h.prefix == "/" {
		h.prefix = ""
	}
	h.methods, _ = parseMethods(h.Methods)
	h.maxKeySize = *h.MaxKeySize
	h.maxValueSize = *h.MaxValueSize
	h.maxAnswerBytes = *h.MaxAnswerBytes
	h.bodyTimeout = time.Duration(*h.BodyTimeout)
	h.cacheControl = *h.CacheControl
	h.vary = varyOf(h.KeyPrefix)
	h.readNoCache = h.ClientNoCache == noCacheHonor
	h.crossOrigin = http.NewCrossOriginProtection()
	for _, origin := range h.TrustedOrigins {
		if err := h.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("trusted_origins: %w", err)
		}
	}
	h.warnOfLongKeys(ctx)
	shared, err := h.sharedSettings()
	if err != nil {
		return err
	}
	// Every configuration that Caddy loads has a registry of its own, and all
	// its modules get the same one: nothing else that a module can see tells
	// which configuration it belongs to.
	h.configuration = ctx.GetMetricsRegistry()
	registration := running.Registration{Configuration: h.configuration, Shared: shared, Logger: h.logger}
	if h.cache, err = running.Acquire(ctx, registration, prepare); err != nil {
		return err
	}
	return h.cache.RegisterMetrics(ctx.GetMetricsRegistry(), operationsOf(h.methods))
}

// Cleanup leaves the engine; the last handler to leave closes it. Requests in
// progress may still use it and are then told that it is closed, so the
// handler keeps its fields.
func (h *Handler) Cleanup() error {
	if h.cache == nil {
		return nil // Provision failed before it joined
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
