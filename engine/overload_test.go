package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// In each round, a batch is held back while five times as many writes arrive as the
// queue takes. That is an overload on a machine of any speed.
func TestUnderFiveTimesTheLoadAcceptedWritesAreStoredAndTheRestIsRefused(t *testing.T) {
	const (
		queue   = 64 // as many as one batch takes
		value   = 1 << 10
		maxHeap = 64 << 20
	)
	server := redistest.Start(t)
	s := patient()
	s.MaxQueueJobs = queue
	s.Limits.MaxKeys = 10_000_000
	e, proxy, _ := proxied(t, server, s)
	create(t, e, "first", "v")

	var mu sync.Mutex
	var accepted []string
	refused := 0
	write := func(key string) {
		r, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text(string(make([]byte, value)))})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, engine.ErrQueueFull):
			refused++
		case err != nil || r.Outcome != store.Created:
			t.Errorf("%s: %+v, %v", key, r, err)
		default:
			accepted = append(accepted, key)
		}
	}
	base, highest := liveHeap(), uint64(0)
	end := time.Now().Add(min(soak(t, 0), 30*time.Second))
	for round := 0; round < 75 || time.Now().Before(end); round++ {
		hold := make(chan struct{})
		proxy.Rule(func() faultproxy.Fault { return faultproxy.Fault{Hold: hold} })
		var running sync.WaitGroup
		for i := range 5 * queue {
			running.Go(func() { write(fmt.Sprintf("%d-%d", round, i)) })
		}
		eventually(t, "the rest is refused while the first wait", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return refused+len(accepted) >= (5*queue)*(round+1)-queue
		})
		close(hold)
		running.Wait()
		if round%25 == 24 {
			highest = max(highest, liveHeap())
		}
	}
	t.Logf("%d accepted, %d refused, %d KiB more on the heap", len(accepted), refused, (int64(highest)-int64(base))>>10)
	if len(accepted) == 0 || refused < len(accepted) {
		t.Errorf("%d accepted, %d refused: that was no overload", len(accepted), refused)
	}
	if highest > base+maxHeap {
		t.Errorf("%d MiB on the heap, %d at first", highest>>20, base>>20)
	}
	redis, ctx := server.Client(), context.Background()
	for _, key := range accepted {
		if !redis.HExists(ctx, "{cache}:values", key).Val() {
			t.Fatalf("%s was accepted and is not there", key)
		}
	}
	if n := redis.HLen(ctx, "{cache}:values").Val(); n != int64(len(accepted))+1 {
		t.Errorf("%d values, %d were accepted", n, len(accepted)+1)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
