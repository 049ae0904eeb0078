package engine_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestCloseDoesNotWaitForTheFirstSubscription(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := patient()
	s.Timeout, s.DrainTimeout = time.Hour, time.Millisecond
	server.Pause()
	defer server.Resume()
	e, _ := node(t, server, s)
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = e.Get(ctx, "k", engine.Read{})
	}()
	eventually(t, "the engine has started", func() bool {
		_, err := e.Write(ctx, store.Write{Op: store.Create, Key: "x", Value: text(string(make([]byte, s.MaxQueueBytes+1)))})
		return err != nil
	})
	cancel()
	<-gone
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
}

func TestASubscriptionThatWasCutComesBack(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	a, logs := node(t, server, s)
	b, _ := node(t, server, s)
	create(t, a, "k", "old")
	value(t, b, "k")
	value(t, a, "k")
	redis := server.Client()
	if err := redis.Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	put(t, b, "k", "new") // node a may not hear of it
	awaitSubscription(t, logs)
	if got := value(t, a, "k"); got != "new" {
		t.Fatalf("node a serves %q", got)
	}
	if lost, back := subscriptions(logs); lost != back {
		t.Errorf("%d warnings, and it came back %d times", lost, back)
	}
}

// A server accepts connections and then sends nothing, as with TLS on one side only.
func TestCloseDoesNotWaitForAHandshake(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, scheme := range []string{"redis", "rediss"} {
		s := patient()
		s.Timeout, s.DrainTimeout = time.Hour, 10*time.Millisecond
		st, logger, _ := redisAt(t, scheme+"://"+silent.Addr().String()+"/0")
		e := engine.New(st, s, engine.Options{Logger: logger})
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := e.Get(ctx, "k", engine.Read{}); err == nil {
			t.Error("an answer from nobody")
		}
		cancel()
		closed := make(chan error, 1)
		go func() { closed <- e.Close() }()
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatalf("%s: Close hangs", scheme)
		}
	}
}
