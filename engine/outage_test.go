package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// outage is a way in which Redis does not answer, and the end of it.
type outage struct {
	name       string
	begin, end func(*redistest.Server, *faultproxy.Proxy) error
	// forgets says that the server comes back empty.
	forgets bool
}

var outages = []outage{
	{
		name: "down", forgets: true,
		begin: func(s *redistest.Server, _ *faultproxy.Proxy) error { s.Kill(); return nil },
		end:   func(s *redistest.Server, _ *faultproxy.Proxy) error { return s.Restart() },
	},
	{
		name:  "unreachable",
		begin: func(_ *redistest.Server, p *faultproxy.Proxy) error { p.Down(); return nil },
		end:   func(_ *redistest.Server, p *faultproxy.Proxy) error { return p.Up() },
	},
	{
		name:  "hung",
		begin: func(s *redistest.Server, _ *faultproxy.Proxy) error { s.Pause(); return nil },
		end:   func(s *redistest.Server, _ *faultproxy.Proxy) error { s.Resume(); return nil },
	},
	{
		name:  "behind half-open connections",
		begin: func(_ *redistest.Server, p *faultproxy.Proxy) error { p.Freeze(); return nil },
		end:   func(_ *redistest.Server, p *faultproxy.Proxy) error { p.CutAll(); p.Thaw(); return nil },
	},
}

func TestThroughAnOutageLocalAnswersGoOnAndTheRestFailsInTimeAndRecovers(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := patient()
			e, proxy, logs := proxied(t, server, s)
			create(t, e, "k", "v")
			value(t, e, "k")

			s.Timeout = 2 * time.Second
			e.Configure(s)
			// Limits of unknown fate would also drop the local tier.
			eventually(t, "the limits are set", func() bool {
				_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "other", Value: text("v")})
				return err == nil
			})
			if err := o.begin(server, proxy); err != nil {
				t.Fatal(err)
			}
			failInTime(t, e)
			eventually(t, "Redis is known to be down", func() bool {
				failInTime(t, e)
				return logs.FilterMessageSnippet("does not answer").Len() > 0
			})
			atOnce(t, e)
			if a := get(t, e, "k"); a.Source != engine.Local || read(a) != "v" {
				t.Errorf("the local entry: %+v", a)
			}
			if err := o.end(server, proxy); err != nil {
				t.Fatal(err)
			}
			recovers(t, e, logs)
			switch got := value(t, e, "k"); {
			case o.forgets && got != "absent", !o.forgets && got != "v":
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

// failInTime fails the test unless a read and a write fail. How long they may
// take is bounded only against hanging.
func failInTime(t *testing.T, e *engine.Engine) {
	t.Helper()
	begin := time.Now()
	if _, err := e.Get(context.Background(), "not local", engine.Read{}); !errors.Is(err, engine.ErrUnavailable) && !errors.Is(err, engine.ErrTimeout) {
		t.Errorf("the read: %v", err)
	}
	_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "written", Value: text("during the outage")})
	if !errors.Is(err, engine.ErrUnavailable) && !errors.Is(err, engine.ErrMayBeApplied) && !errors.Is(err, engine.ErrTimeout) {
		t.Errorf("the write: %v", err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("both took %v", took)
	}
}

// atOnce waits for calls that fail because Redis is known to be down. They
// are given far more time than that takes.
func atOnce(t *testing.T, e *engine.Engine) {
	t.Helper()
	known := func(err error) bool {
		return errors.Is(err, engine.ErrUnavailable) && strings.Contains(err.Error(), "circuit breaker")
	}
	eventually(t, "a read is refused at once", func() bool {
		_, err := e.Get(context.Background(), "not local", engine.Read{})
		return err != nil && known(err)
	})
	eventually(t, "a write is refused at once, and is certain not to be applied", func() bool {
		_, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "refused", Value: text("v")})
		return err != nil && known(err)
	})
}

// recovers waits until writes and reads are answered again.
func recovers(t *testing.T, e *engine.Engine, logs *observer.ObservedLogs) {
	t.Helper()
	eventually(t, "writes are answered", func() bool {
		r, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "back", Value: text("v")})
		return err == nil && (r.Outcome == store.Created || r.Outcome == store.Replaced)
	})
	eventually(t, "reads are answered", func() bool {
		a, err := e.Get(context.Background(), "back", engine.Read{NoCache: true})
		return err == nil && read(a) == "v"
	})
	eventually(t, "the subscription is back", func() bool {
		lost, back := subscriptions(logs)
		return lost == back
	})
	down, up := logs.FilterMessageSnippet("does not answer"), logs.FilterMessageSnippet("answers again")
	if down.Len() != 1 || up.Len() != 1 {
		t.Errorf("%d warnings and %d words of recovery, want one of each: %v", down.Len(), up.Len(), logs.All())
	}
}

func TestAnOutageIsNoticedAtOnceHoweverLongCallsMayTake(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	s.Timeout = 2 * patience
	e, proxy, logs := proxied(t, server, s)
	create(t, e, "k", "v")
	proxy.Down()
	begin := time.Now()
	atOnce(t, e)
	if took := time.Since(begin); took > s.Timeout/2 {
		t.Errorf("it took %v", took)
	}
	if err := proxy.Up(); err != nil {
		t.Fatal(err)
	}
	recovers(t, e, logs)
}

func TestAnExpiredEntryAnswersWhileRedisFailsIfSettingsAllow(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	s.LocalTTL, s.UnsubscribedTTL = time.Nanosecond, time.Nanosecond
	strict, strictProxy, _ := proxied(t, server, s)
	s.StaleIfError = time.Hour
	e, proxy, _ := proxied(t, server, s)
	create(t, e, "k", "v")
	value(t, e, "k")
	value(t, strict, "k")
	proxy.Down()
	strictProxy.Down()
	if a := get(t, e, "k"); read(a) != "v" || !a.StaleIfError || a.TTL > 0 || a.Source != engine.Local {
		t.Errorf("%+v", a)
	}
	if _, err := e.Get(context.Background(), "other", engine.Read{}); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("a key that is not local: %v", err)
	}
	if _, err := strict.Get(context.Background(), "k", engine.Read{}); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("without stale_if_error: %v", err)
	}
	if err := proxy.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store answers again", func() bool {
		// Once the subscription is back, no old entry answers.
		a, err := e.Get(context.Background(), "k", engine.Read{})
		return err == nil && !a.StaleIfError && read(a) == "v"
	})
}

func TestASlowRedisIsNotTakenForOneThatIsDown(t *testing.T) {
	server := redistest.Start(t)
	e, proxy, logs := proxied(t, server, patient())
	proxy.Rule(func() faultproxy.Fault { return faultproxy.Fault{Delay: 30 * time.Millisecond} })
	for _, key := range []string{"a", "b", "c", "d"} {
		create(t, e, key, "v")
		if got := fresh(t, e, key); got != "v" {
			t.Errorf("%s: %q", key, got)
		}
	}
	if n := logs.FilterMessageSnippet("does not answer").Len(); n != 0 {
		t.Errorf("%d warnings", n)
	}
}

func TestAFullRedisRefusesValuesAndAnswersReadsAndDeletes(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	s.LocalTTL = 0
	e, _ := node(t, server, s)
	redis, ctx := server.Client(), context.Background()
	create(t, e, "a", "1")
	create(t, e, "b", "2")
	memory := func(limit string) {
		if err := redis.ConfigSet(ctx, "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	memory("1")
	if _, err := e.Write(ctx, store.Write{Op: store.Create, Key: "c", Value: text("3")}); !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("a create: %v", err)
	}
	if _, err := e.Write(ctx, store.Write{Op: store.Put, Key: "a", Value: text("4")}); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("a replacement: %v", err)
	}
	if got := value(t, e, "a"); got != "1" {
		t.Errorf("a read: %q", got)
	}
	remove(t, e, "b")
	memory("0")
	create(t, e, "c", "3")
	if got := value(t, e, "c"); got != "3" {
		t.Errorf("afterwards: %q", got)
	}
}
