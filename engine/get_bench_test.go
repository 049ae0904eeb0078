package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// BenchmarkGetLocalHit reads keys that are in the local tier of a node that
// shares its store with others.
func BenchmarkGetLocalHit(b *testing.B) {
	const keys = 1024 // a power of two: picking one costs almost nothing
	ctx := context.Background()
	st := newWatched()
	s := settings()
	s.LocalTTL = time.Hour
	s.Limits.MaxKeys = keys
	e := engine.New(st, s, engine.Options{})
	defer e.Close()

	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("key-%016d", i)
		if _, err := e.Write(ctx, store.Write{Op: store.Create, Key: names[i], Value: store.Value{Data: make([]byte, 30), Kind: store.Raw}}); err != nil {
			b.Fatal(err)
		}
	}
	subscription := <-st.observers
	subscription.Subscribed()
	defer keepAlive(subscription)()
	for _, name := range names {
		if _, err := e.Get(ctx, name, engine.Read{}); err != nil {
			b.Fatal(err)
		}
	}

	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			a, err := e.Get(ctx, names[i%keys], engine.Read{})
			if err != nil || a.Source != engine.Local {
				b.Errorf("%s is not local: %v", names[i%keys], err)
				return
			}
		}
	})
}

// keepAlive answers for a subscription until the returned function is called.
func keepAlive(o store.Observer) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	o.Alive(time.Now())
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				o.Alive(time.Now())
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
