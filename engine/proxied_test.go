package engine_test

import (
	"context"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// proxied is a node that reaches Redis through a proxy of its own.
func proxied(t *testing.T, server *redistest.Server, s engine.Settings) (*engine.Engine, *faultproxy.Proxy, *observer.ObservedLogs) {
	t.Helper()
	p := faultproxy.Start(t, server.Addr)
	e, logs := nodeAt(t, p.URL(), s)
	return e, p, logs
}

// nodeAt returns a node that reaches Redis at url.
func nodeAt(t *testing.T, url string, s engine.Settings) (*engine.Engine, *observer.ObservedLogs) {
	t.Helper()
	st, logger, logs := redisAt(t, url)
	e := engine.New(st, s, engine.Options{Logger: logger})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return e, logs
}

func redisAt(t *testing.T, url string) (*redisstore.Store, *zap.Logger, *observer.ObservedLogs) {
	t.Helper()
	target, err := redisstore.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	logger := zap.New(core)
	return redisstore.New(redisstore.Config{Target: target, Namespace: "cache", Logger: logger}), logger, logs
}

// fresh returns the value that a no-cache Get answers, or "absent".
func fresh(t *testing.T, e *engine.Engine, key string) string {
	t.Helper()
	a, err := e.Get(context.Background(), key, engine.Read{NoCache: true})
	if err != nil {
		t.Errorf("getting %q: %v", key, err)
	}
	return read(a)
}

// recorded keeps the answers to a store's batches.
type recorded struct {
	*redisstore.Store
	answered func(store.Applied)
}

func (r *recorded) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	a, err := r.Store.Apply(ctx, b)
	if err == nil {
		r.answered(a)
	}
	return a, err
}
