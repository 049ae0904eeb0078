package redisstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
)

// openBehind opens a store behind a proxy, whose log has INFO too.
func (f *fixture) openBehind(proxy *faultproxy.Proxy) (*Store, *observer.ObservedLogs) {
	f.Helper()
	target, err := Parse(proxy.URL())
	if err != nil {
		f.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	s := New(Config{Target: target, Namespace: "cache", Logger: zap.New(core)})
	f.Cleanup(func() { _ = s.Close() })
	return s, logs
}

func TestAnOutageThatBeganBeforeTheProcessIsOneWarningAndItsEndOneLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails int // calls that fail before it is back
	}{
		{"nobody asked meanwhile", 0},
		{"calls failed meanwhile", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			proxy := faultproxy.Start(t, f.server.Addr)
			s, logs := f.openBehind(proxy)
			proxy.Down()
			s.CheckOrWarn(f.ctx())
			for range c.fails {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				if _, err := s.Size(ctx); err == nil {
					t.Fatal("Redis is down, and tells its size")
				}
				cancel()
			}
			if logs.Len() != 1 || logs.FilterMessageSnippet("Redis does not answer").Len() != 1 ||
				!strings.Contains(logs.All()[0].ContextMap()["error"].(string), "connection refused") {
				t.Fatalf("while it is down: %v", logs.All())
			}
			if err := proxy.Up(); err != nil {
				t.Fatal(err)
			}
			// The breaker lets a call through now and then.
			ctx := f.ctx()
			for answered := 0; answered < 2; {
				if _, err := s.Size(ctx); err == nil {
					answered++
				} else if ctx.Err() != nil {
					t.Fatal(err)
				}
			}
			if logs.Len() != 2 || logs.FilterMessageSnippet("Redis answers again").Len() != 1 {
				t.Errorf("when it is back: %v", logs.All())
			}
		})
	}
}

func TestAFirstCheckThatRedisRefusesIsNoOutage(t *testing.T) {
	f := newFixture(t)
	proxy := faultproxy.Start(t, f.server.Addr)
	f.do("CONFIG", "SET", "requirepass", "s3cret")
	s, logs := f.openBehind(proxy)
	s.CheckOrWarn(f.ctx())
	if _, err := s.Size(f.ctx()); err == nil {
		t.Fatal("answered without a password")
	}
	if logs.Len() != 1 || logs.FilterMessageSnippet("answers with an error").Len() != 1 {
		t.Errorf("%v", logs.All())
	}
}

func TestCallsThatAnOpenBreakerRefusesTellTheCause(t *testing.T) {
	f := newFixture(t)
	proxy := faultproxy.Start(t, f.server.Addr)
	s, _ := f.openBehind(proxy)
	proxy.Down()
	ctx := f.ctx()
	for {
		_, err := s.Size(ctx)
		if err == nil || ctx.Err() != nil {
			t.Fatal(err)
		}
		if isOpen(err) {
			if text := err.Error(); !strings.Contains(text, "circuit breaker is open") || !strings.Contains(text, "connection refused") {
				t.Error(text)
			}
			return
		}
	}
}

func TestAnOpenBreakerSaysTheCauseFirst(t *testing.T) {
	f := newFixture(t)
	s, _ := f.openInfo("rediss://" + tlsServer(t)) // whose certificate nobody trusts
	ctx := f.ctx()
	for {
		_, err := s.Size(ctx)
		if err == nil || ctx.Err() != nil {
			t.Fatal(err)
		}
		if !isOpen(err) {
			continue
		}
		text := err.Error()
		if store.CauseOf(err) != store.TLS || strings.Count(text, "set redis_ca to a file") != 1 ||
			!strings.HasPrefix(text, "reading the size: store unavailable: tls: ") || !strings.Contains(text, " (the circuit breaker is open); ") {
			t.Errorf("%s: %s", store.CauseOf(err), text)
		}
		return
	}
}
