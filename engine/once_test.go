package engine_test

import (
	"context"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Tests in redisstore check the data in Redis after each fault. These tests check the
// answers to the callers of the engine.
func TestAFaultOnTheWayIsNothingThatACallerNotices(t *testing.T) {
	for _, c := range []struct {
		name   string
		ending faultproxy.Ending
		// rank is that after two fetches, one under the fault. If its first try did not run,
		// the raise is lost.
		rank float64
	}{
		{"a lost reply", faultproxy.Lose, 2},
		{"a reset in mid-reply", faultproxy.Cut, 2},
		{"a refused command", faultproxy.Refuse, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Start(t)
			e, proxy, _ := proxied(t, server, patient())
			create(t, e, "other", "v")
			get(t, e, "other")
			ctx := context.Background()
			fault := func() { proxy.Next(faultproxy.Fault{Ending: c.ending}) }

			fault()
			create(t, e, "k", "1")
			fault()
			if got := fresh(t, e, "k"); got != "1" {
				t.Errorf("fetched %q", got)
			}
			fault()
			want(t, store.Conflict)(e.Write(ctx, store.Write{Op: store.Create, Key: "k", Value: text("2")}))
			fault()
			r, err := e.Write(ctx, store.Write{Op: store.Put, Key: "k", Value: text("2")})
			want(t, store.Replaced)(r, err)
			fault()
			want(t, store.PreconditionFailed)(e.Write(ctx, store.Write{Op: store.Put, Key: "k", Value: text("3"), IfNoneMatch: store.NewVersionSet(r.Version.String())}))
			if got := value(t, e, "k"); got != "2" {
				t.Errorf("got %q", got)
			}
			if rank := server.Client().ZScore(ctx, "{cache}:ranks", "\x00\x00\x00\x00\x00\x02k").Val(); rank != c.rank {
				t.Errorf("rank %v after two fetches, want %v", rank, c.rank)
			}
			fault()
			remove(t, e, "k")
			fault()
			want(t, store.Absent)(e.Write(ctx, store.Write{Op: store.Delete, Key: "k"}))
			fault()
			if a, err := e.Get(ctx, "k", engine.Read{}); err != nil || a.Entry != nil {
				t.Errorf("in the end: %+v, %v", a, err)
			}
		})
	}
}
