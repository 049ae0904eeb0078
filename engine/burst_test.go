package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestABurstThatTakesLongerThanItsTimeIsNotTakenForAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := patient()
	s.Timeout = time.Second
	e, proxy, logs := proxied(t, server, s)
	create(t, e, "first", "v")
	// In its time, the worker applies some 20 batches of 128.
	proxy.Rule(func() faultproxy.Fault { return faultproxy.Fault{Delay: 50 * time.Millisecond} })
	var mu sync.Mutex
	answers := map[string]int{}
	var running sync.WaitGroup
	for i := range 4000 {
		running.Go(func() {
			_, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: fmt.Sprint(i), Value: text("v")})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				answers["stored"]++
			case errors.Is(err, engine.ErrTimeout):
				answers["timed out"]++
			case errors.Is(err, engine.ErrMayBeApplied):
				answers["unknown"]++
			default:
				answers[err.Error()]++
			}
		})
	}
	running.Wait()
	t.Log(answers)
	if n := logs.FilterMessageSnippet("does not answer").Len(); n != 0 {
		t.Errorf("Redis, which answers every batch, was taken to be down: %v", answers)
	}
}

// An answer of a distant store may take almost half of its timeout. Requests that
// arrive together are then sent together.
func TestABurstOverAStoreThatIsFarAwayIsStoredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 129 // one goes alone, the others fit into one batch
		s := settings()   // time for two batches, one after the other
		s.MaxQueueJobs = 2 * burst
		e := engine.New(&distant{Store: memstore.New(), away: 200 * time.Millisecond}, s, engine.Options{})
		defer e.Close()
		create(t, e, "first", "v")
		var running sync.WaitGroup
		for i := range burst {
			running.Go(func() {
				if _, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: fmt.Sprint(i), Value: text("v")}); err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			})
			running.Go(func() {
				if _, err := e.Get(context.Background(), fmt.Sprint("read", i), engine.Read{}); err != nil {
					t.Errorf("read %d: %v", i, err)
				}
			})
		}
		running.Wait()
	})
}
