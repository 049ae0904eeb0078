package redisstore

import (
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
)

func TestStatsCountRetriesByKind(t *testing.T) {
	f := newFixture(t)
	proxy := faultproxy.Start(t, f.server.Addr)
	st, _ := f.open(proxy.URL())
	create := func(key string) {
		t.Helper()
		a, err := st.Apply(f.ctx(), store.Batch{Writes: []store.Write{{Op: store.Create, Key: key}}, Limits: f.limits})
		if err != nil || a.Results[0].Outcome != store.Created {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	create("first")
	if s := st.Stats(); len(s.Retries) != 0 || s.Breaker != "closed" || s.ClientRenewals != 0 {
		t.Errorf("nothing went wrong, and the stats are %+v", s)
	}
	proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose})
	create("lost")
	if n := st.Stats().Retries[retryNoAnswer]; n != 1 {
		t.Errorf("%d answers were lost", n)
	}
	proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose})
	if _, err := st.Size(f.ctx()); err != nil {
		t.Fatal(err)
	}
	if n := st.Stats().Retries[retryNoAnswer]; n != 2 {
		t.Errorf("%d answers were lost", n)
	}
}

func TestStatsTellThatRedisIsDown(t *testing.T) {
	f := newFixture(t)
	f.apply(store.Write{Op: store.Create, Key: "k"})
	f.server.Kill()
	if _, err := f.store.Fetch(f.ctx(), []string{"k"}, store.AnyRoom); err == nil {
		t.Fatal("a fetch without Redis succeeded")
	}
	s := f.store.Stats()
	if s.Breaker != "open" || s.Retries[retryUnreachable] == 0 || s.ClientRenewals != 1 {
		t.Errorf("%+v", s)
	}
}
