package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redistest"
)

func TestABurstThatTakesLongerThanItsTimeIsNotTakenForAnOutage(t *testing.T) {
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
			_, err := e.Create(context.Background(), fmt.Sprint(i), text("v"), "", "")
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
