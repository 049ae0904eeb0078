package running_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestHandlersShareAnEngine(t *testing.T) {
	ctx := sitetest.Context(t)
	a, b, other := sitetest.Parse(t, "namespace shared"), sitetest.Parse(t, "namespace shared\npath_prefix /kv\nmethods GET PUT\ncache_control private"), sitetest.Parse(t, "namespace other")
	sitetest.Provision(t, ctx, a)
	sitetest.Provision(t, ctx, b)
	sitetest.Provision(t, ctx, other)
	sitetest.Serve(t, a).Send("POST /cache/k\n\nv")
	for h, want := range map[*redisproxy.Handler]string{b: "200 ", other: "404 "} {
		if got := sitetest.Serve(t, h).Send("GET " + h.PathPrefix + "/k"); !strings.HasPrefix(got, want) {
			t.Errorf("%s of namespace %s answers %s", h.PathPrefix, h.Namespace, got)
		}
	}
}

func TestDifferentSettingsOfOneConfiguration(t *testing.T) {
	for field, setting := range map[string]string{
		"max_keys":         "max_keys 3",
		"max_bytes":        "max_bytes 0",
		"local_ttl":        "local_ttl 0",
		"local_max_bytes":  "local_max_bytes 1MB",
		"max_queue_jobs":   "max_queue_jobs 1",
		"max_queue_bytes":  "max_queue_bytes 2MiB",
		"redis_timeout":    "redis_timeout 2s",
		"drain_timeout":    "drain_timeout 1s",
		"stale_if_error":   "stale_if_error 1h",
		"unsubscribed_ttl": "unsubscribed_ttl 0",
		"rank_local_hits":  "rank_local_hits",
		"eviction":         "eviction lru",
	} {
		t.Run(field, func(t *testing.T) {
			ctx := sitetest.Context(t)
			first := sitetest.Parse(t, "namespace shared")
			sitetest.Provision(t, ctx, first)
			second := sitetest.Parse(t, "namespace shared\n"+setting)
			err := second.Provision(ctx)
			want := field + ` differs between handlers that share the namespace "shared" of one store: give them the same value, or another namespace`
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if err := second.Cleanup(); err != nil {
				t.Error(err)
			}
			if got := sitetest.Serve(t, first).Send("GET /cache/k"); !strings.HasPrefix(got, "404 ") {
				t.Errorf("the first handler lost its engine: %s", got)
			}
			// Another configuration may differ.
			sitetest.Provision(t, sitetest.Context(t), sitetest.Parse(t, "namespace shared\n"+setting))
		})
	}
	t.Run("partitions", func(t *testing.T) {
		const cluster = "namespace shared\nstore redis+cluster://127.0.0.1:1"
		ctx := sitetest.Context(t)
		sitetest.Provision(t, ctx, sitetest.Parse(t, cluster))
		err := sitetest.Parse(t, cluster+"\npartitions 2").Provision(ctx)
		if err == nil || !strings.HasPrefix(err.Error(), `partitions differs between handlers that share the namespace "shared"`) {
			t.Error(err)
		}
	})
	t.Run("store", func(t *testing.T) {
		ctx := sitetest.Context(t)
		sitetest.Provision(t, ctx, sitetest.Parse(t, "store redis://a:b@127.0.0.1:1"))
		err := sitetest.Parse(t, "store redis://a:c@127.0.0.1:1").Provision(ctx)
		if err == nil || !strings.HasPrefix(err.Error(), "store differs") {
			t.Error(err)
		}
	})
}

func TestReloads(t *testing.T) {
	load := func(settings string, handlers int) []*redisproxy.Handler {
		t.Helper()
		ctx := sitetest.Context(t)
		var all []*redisproxy.Handler
		for range handlers {
			h := sitetest.Parse(t, "namespace reloads\n"+settings)
			if err := h.Provision(ctx); err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
		return all
	}
	unload := func(handlers ...*redisproxy.Handler) {
		t.Helper()
		for _, h := range handlers {
			if err := h.Cleanup(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(h *redisproxy.Handler, maxKeys int) {
		t.Helper()
		if got := sitetest.CacheOf(t, h).SharedSettings().Settings.Limits.MaxKeys; got != maxKeys {
			t.Errorf("max_keys is %d, want %d", got, maxKeys)
		}
	}

	old := load("max_keys 3", 2)
	oldSite := sitetest.Serve(t, old[0])
	for _, key := range []string{"a", "b", "c"} {
		oldSite.Send("POST /cache/" + key + "\n\nv")
	}
	present := func(s *sitetest.Site, keys string) {
		t.Helper()
		got := ""
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			if strings.HasPrefix(s.Send("HEAD /cache/"+key), "200 ") {
				got += key
			}
		}
		if got != keys {
			t.Errorf("the entries are %s, want %s", got, keys)
		}
	}

	rejected := load("max_keys 1", 3)
	check(old[0], 3)
	unload(rejected...)
	check(old[0], 3)
	oldSite.Send("POST /cache/d\n\nv") // evicts one, not all
	present(oldSite, "bcd")

	before := sitetest.CacheOf(t, old[0])
	next := load("max_keys 2", 1)
	if sitetest.CacheOf(t, next[0]) != before {
		t.Fatal("the engine did not survive the reload")
	}
	unload(old[0])
	check(next[0], 3)
	unload(old[1])
	check(next[0], 2)
	nextSite := sitetest.Serve(t, next[0])
	nextSite.Send("POST /cache/e\n\nv")
	present(nextSite, "de")

	unload(next...)
	if left := running.Caches(); len(left) != 0 {
		t.Errorf("%d engines are left", len(left))
	}
}

func TestCredentialsKeepTheEngine(t *testing.T) {
	old := sitetest.Parse(t, "store redis://user:one@127.0.0.1:1\nredis_timeout 1m")
	if err := old.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	before := sitetest.CacheOf(t, old)
	next := sitetest.Parse(t, "store redis://user:two@127.0.0.1:1\nredis_timeout 1m")
	sitetest.Provision(t, sitetest.Context(t), next)
	if sitetest.CacheOf(t, next) != before {
		t.Error("new credentials made a new engine")
	}
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	want := sitetest.Problem(503, "the store cannot be reached, nothing was changed; repeat the request later", "Retry-After: 1")
	if got := sitetest.Serve(t, next).Send("POST /cache/k\n\nv"); got != want {
		t.Error(got)
	}
}

func TestProvisionWithoutRedis(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	started := time.Now()
	target, err := redisstore.Parse("redis://app:s3cret@127.0.0.1:1/2")
	if err != nil {
		t.Fatal(err)
	}
	s := running.SharedSettings{Target: target, Namespace: "cache", Partitions: 1, Settings: smallSettings(time.Hour)}
	c, err := running.Acquire(t.Context(), running.Registration{Configuration: t, Shared: s, Logger: zap.New(core)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Release(t); err != nil {
		t.Error(err)
	}
	if time.Since(started) > 5*time.Minute {
		t.Error("provisioning waited for Redis")
	}
	lost := logs.FilterMessageSnippet("Redis does not answer").All()
	if len(lost) != 1 {
		t.Fatal(logs.All())
	}
	// The line names the cache and the mistake.
	fields := lost[0].ContextMap()
	if cause, _ := fields["error"].(string); fields["namespace"] != "cache" || fields["store"] != "127.0.0.1:1/2" || !strings.Contains(cause, "refused") {
		t.Errorf("%v", fields)
	}
	if text := fmt.Sprint(fields); strings.Contains(text, "s3cret") {
		t.Errorf("the password is in %s", text)
	}
}

func TestEmbeddedWarns(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	s := running.SharedSettings{Namespace: sitetest.Namespace(t), Settings: smallSettings(time.Second)}
	c, err := running.Acquire(t.Context(), running.Registration{Configuration: t, Shared: s, Logger: zap.New(core)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Release(t); err != nil {
		t.Error(err)
	}
	if logs.FilterMessageSnippet("end with it").Len() != 1 {
		t.Error(logs.All())
	}
}

// smallSettings are enough to make a cache.
func smallSettings(timeout time.Duration) engine.Settings {
	return engine.Settings{
		Limits:        store.Limits{MaxKeys: 1, Eviction: store.Rank.Name},
		LocalMaxBytes: 1, MaxQueueJobs: 1, MaxQueueBytes: 1,
		Timeout: timeout, DrainTimeout: timeout,
	}
}

// An admin request may still use a cache that has no handler any more.
func TestSettingsAreShownWhileTheEngineIsClosed(t *testing.T) {
	s := running.SharedSettings{Namespace: sitetest.Namespace(t), Settings: smallSettings(time.Second), Named: []running.Setting{{Name: "max_keys", Value: 7}}}
	c, err := running.Acquire(t.Context(), running.Registration{Configuration: t, Shared: s, Logger: zap.NewNop()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Release(t); err != nil {
		t.Fatal(err)
	}
	if got := c.SharedSettings(); len(got.Named) != 1 || got.Named[0] != s.Named[0] {
		t.Errorf("%+v", got)
	}
}
