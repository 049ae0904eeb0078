package redisstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// While a slot moves, a node stops a script that asks for a key that does not exist. A
// write may remove the last entry, and with it the keys that hold the entries. Nodes would
// stop it there, and a half of it would stay.
func TestNoWriteStopsHalfWayWhileTheSlotMoves(t *testing.T) {
	cluster := redistest.StartCluster(t, 2)
	for name, writes := range map[string][]store.Write{
		"the last entry is deleted, and another one created": {remove("b"), create("c", "3")},
		"the last entry is evicted":                          {create("c", "3")},
		"the last entry is deleted":                          {remove("b")},
		"the last entry is replaced":                         {put("b", "3")},
		"the last entry expires, and another one is created": {create("c", "3")},
		"the last entry expires":                             {},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t, limits: store.Limits{MaxKeys: 1, Eviction: "adaptive"}}
			owner := cluster.Owner("{cache}:state")
			from, to := cluster.Nodes[owner].Client(), cluster.Nodes[1-owner].Client()
			f.redis = from
			f.store, f.logs = f.open(cluster.URL())
			do := func(client *redis.Client, args ...any) any {
				t.Helper()
				v, err := client.Do(f.ctx(), args...).Result()
				if err != nil {
					t.Fatalf("%v: %v", args, err)
				}
				return v
			}
			do(from, "FLUSHALL")
			// All keys exist now: a is a ghost.
			f.apply(create("a", "1"), lasting(create("b", "2"), time.Hour))
			f.fetch("b")
			if strings.Contains(name, "expires") {
				f.advance(time.Hour)
			}
			before := f.dump()
			slot := do(from, "CLUSTER", "KEYSLOT", "{cache}:state")
			do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", do(to, "CLUSTER", "MYID"))
			// On a busy machine, the answer to the last try may come too late.
			err := store.ErrFateUnknown
			for end := time.Now().Add(patience); errors.Is(err, store.ErrFateUnknown) && time.Now().Before(end); {
				_, err = f.store.Apply(f.within(200*time.Millisecond), store.Batch{Writes: writes, Limits: f.limits})
			}
			do(from, "CLUSTER", "SETSLOT", slot, "STABLE")
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("while the slot moves: %v", err)
			}
			if after := f.dump(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			f.apply(writes...)
			f.consistent()
			if n := f.store.Mended(); n > 0 {
				t.Errorf("%d repairs", n)
			}
		})
	}
}
