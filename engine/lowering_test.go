package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestALoweredCapacityIsWorkedOffInSmallStepsUnderLoadAndTheLowestRanksGo(t *testing.T) {
	t.Parallel()
	const many, few, step = 100_000, 1_000, 400
	server := redistest.Start(t)
	st, logger, _ := redisAt(t, server.URL())
	fill(t, st, many, few)

	var mu sync.Mutex
	var most, keys int
	lowered := false
	r := &recorded{Store: st, answered: func(a store.Applied) {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, len(a.Evicted))
		if lowered && a.Keys > keys {
			t.Errorf("the count rose from %d to %d", keys, a.Keys)
		}
		keys = a.Keys
	}}
	s := patient()
	s.Limits.MaxKeys = many
	e := engine.New(r, s, engine.Options{Logger: logger})
	t.Cleanup(func() { e.Close() })

	stop := make(chan struct{})
	var reads, writes atomic.Int64
	var running sync.WaitGroup
	for w := range 4 {
		running.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				key := ranked(i % few)
				if got := fresh(t, e, key); got == "absent" {
					t.Errorf("%s, of high rank, is gone", key)
				}
				put(t, e, key, "replaced")
				reads.Add(1)
				writes.Add(1)
			}
		})
	}
	eventually(t, "there is load", func() bool { return writes.Load() > 100 })
	mu.Lock()
	lowered = true
	mu.Unlock()
	s.Limits.MaxKeys = few
	e.Configure(s)
	redis, ctx := server.Client(), context.Background()
	eventually(t, "the first step is done", func() bool { return redis.HLen(ctx, "{cache}:values").Val() < many })
	before := reads.Load()
	eventually(t, "the limit is kept", func() bool { return redis.HLen(ctx, "{cache}:values").Val() == few })
	meanwhile := reads.Load() - before
	if meanwhile == 0 {
		t.Error("no read was answered meanwhile")
	}
	close(stop)
	running.Wait()
	for i := range few {
		if ok := redis.HExists(ctx, "{cache}:values", ranked(i)).Val(); !ok {
			t.Fatalf("%s, of high rank, is gone", ranked(i))
		}
	}
	if n := redis.ZCard(ctx, "{cache}:ranks").Val(); n != few {
		t.Errorf("%d ranks", n)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d reads and as many writes meanwhile; at most %d evictions a batch", meanwhile, most)
	if most > step {
		t.Errorf("%d evictions in one batch", most)
	}
}

func ranked(i int) string { return fmt.Sprintf("ranked-%04d", i) }

// fill creates many entries. A few of them, spread among the others, have a higher
// rank.
func fill(t *testing.T, st *redisstore.Store, many, few int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	limits := store.Limits{MaxKeys: many, Eviction: "rank"}
	var high []string
	for begin := 0; begin < many; begin += store.MaxBatch {
		b := store.Batch{Limits: limits}
		for i := begin; i < begin+store.MaxBatch; i++ {
			key := fmt.Sprintf("low-%d", i)
			if i%(many/few) == 0 {
				key = ranked(len(high))
				high = append(high, key)
			}
			b.Writes = append(b.Writes, store.Write{Op: store.Create, Key: key, Value: text("v")})
		}
		if _, err := st.Apply(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Fetch(ctx, high, store.AnyRoom); err != nil {
		t.Fatal(err)
	}
}
