package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Another server keeps the keys in another order, so that a cursor of the one leads past
// keys on the other.
func TestACursorEndsWithTheServerThatGaveIt(t *testing.T) {
	const state = "{cache}:state"
	for name, open := range map[string]func(t *testing.T) (url string, change func()){
		"a slot moves": func(t *testing.T) (string, func()) {
			c := redistest.StartCluster(t, 2)
			return c.URL(), func() { c.MoveSlot(state, 1-c.Owner(state)) }
		},
		"a replica takes over": func(t *testing.T) (string, func()) {
			c := redistest.StartCluster(t, 2)
			return c.URL(), func() { c.Failover(c.Owner(state)) }
		},
		"Sentinels fail over": func(t *testing.T) (string, func()) {
			g := redistest.StartGuarded(t)
			return g.URL(), g.Failover
		},
		"Redis starts again": func(t *testing.T) (string, func()) {
			s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			return s.URL(), func() {
				if err := s.Restart(); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const keys = 3000
			url, change := open(t)
			f := &fixture{T: t, limits: store.Limits{MaxKeys: keys, Eviction: "rank"}}
			f.store, f.logs = f.open(url)
			for i := range keys / 1000 {
				f.fill(fmt.Sprint(i)+"-%d", 1000)
			}
			_, old, err := f.store.Scan(f.ctx(), "", "", 500)
			if err != nil || old == "" {
				t.Fatalf("%q, %v", old, err)
			}
			change()
			// Until the store has noticed, the old server may still answer.
			ctx := f.ctx()
			for err = nil; err == nil; {
				_, _, err = f.store.Scan(ctx, "", old, 500)
			}
			if !errors.Is(err, store.ErrCursor) {
				t.Errorf("%v", err)
			}
			met := map[string]bool{}
			for after := ""; ; {
				found, next, err := f.store.Scan(f.ctx(), "", after, 500)
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range found {
					met[key] = true
				}
				if after = next; after == "" {
					break
				}
			}
			if len(met) != keys {
				t.Errorf("met %d of %d keys", len(met), keys)
			}
		})
	}
}

// A step on a connection that failed is made again, and other passes go on.
func TestPassesGoOnAfterALostConnection(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 2000
	f.fill("a%d", 1000)
	f.fill("b%d", 1000)
	after, met := [2]string{}, [2][]string{}
	prefixes := [2]string{"a", "b"}
	for step := 0; step == 0 || after[0] != "" || after[1] != ""; step++ {
		for i, prefix := range prefixes {
			if step > 0 && after[i] == "" {
				continue
			}
			keys, next, err := f.store.Scan(f.ctx(), prefix, after[i], store.MaxBatch)
			if err != nil {
				t.Fatal(err)
			}
			met[i], after[i] = append(met[i], keys...), next
		}
		if step == 1 {
			f.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
	}
	for i := range met {
		slices.Sort(met[i])
		if n := len(slices.Compact(met[i])); n != 1000 {
			t.Errorf("%q: met %d of 1000 keys", prefixes[i], n)
		}
	}
}
