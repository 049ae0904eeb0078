package engine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// patience bounds waiting for what must happen; a machine may be busy.
const patience = 2 * time.Minute

// patient gives calls more time than a busy machine needs. It keeps local entries longer
// than any test runs, even if a ping is answered late.
func patient() engine.Settings {
	s := settings()
	s.Timeout, s.DrainTimeout = patience, patience
	s.LocalTTL, s.UnsubscribedTTL = time.Hour, time.Hour
	s.MaxQueueJobs = 4096
	return s
}

// node returns an engine on a Redis that other engines use too.
func node(t *testing.T, server *redistest.Server, s engine.Settings) (*engine.Engine, *observer.ObservedLogs) {
	t.Helper()
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	logger := zap.New(core)
	e := engine.New(redisstore.New(redisstore.Config{Target: target, Namespace: "cache", Logger: logger}), s, engine.Options{Logger: logger})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return e, logs
}

// eventually polls a condition that other goroutines bring about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// subscriptions returns how often a node lost its subscription and got it back. On a
// busy machine it may lose a subscription without a fault.
func subscriptions(logs *observer.ObservedLogs) (lost, back int) {
	return logs.FilterMessageSnippet("no subscription").Len(), logs.FilterMessageSnippet("events is back").Len()
}

// awaitSubscription waits until a subscription that was lost is back.
func awaitSubscription(t *testing.T, logs *observer.ObservedLogs) {
	t.Helper()
	eventually(t, "the subscription is back", func() bool {
		lost, back := subscriptions(logs)
		return lost > 0 && lost == back
	})
}

func TestTwoNodesNeverExceedTheCapacityTogether(t *testing.T) {
	const capacity, writers, creates = 20, 8, 100
	server := redistest.Start(t)
	s := patient()
	s.Limits.MaxKeys = capacity
	a, _ := node(t, server, s)
	b, _ := node(t, server, s)
	redis, ctx := server.Client(), context.Background()

	stop := make(chan struct{})
	watched := make(chan int64)
	go func() {
		var most int64
		for {
			select {
			case <-stop:
				watched <- most
				return
			default:
				most = max(most, redis.HLen(ctx, "{cache}:values").Val())
			}
		}
	}()
	var running sync.WaitGroup
	var mu sync.Mutex
	created := map[string]int{}
	for w := range writers {
		e := []*engine.Engine{a, b}[w%2]
		running.Go(func() {
			for i := range creates {
				// Half of the keys are wanted by every writer at once.
				key := fmt.Sprintf("shared-%d", i)
				if i%2 == 0 {
					key = fmt.Sprintf("own-%d-%d", w, i)
				}
				r, err := e.Write(ctx, store.Write{Op: store.Create, Key: key, Value: text("v")})
				if err != nil {
					t.Errorf("creating %s: %v", key, err)
				}
				if r.Outcome == store.Created {
					mu.Lock()
					created[key]++
					mu.Unlock()
				}
				if _, err := e.Get(ctx, key, engine.Read{}); err != nil {
					t.Errorf("getting %s: %v", key, err)
				}
			}
		})
	}
	running.Wait()
	close(stop)
	if most := <-watched; most > capacity {
		t.Errorf("%d keys at one moment, %d allowed", most, capacity)
	}
	values := redis.HGetAll(ctx, "{cache}:values").Val()
	metas := redis.HGetAll(ctx, "{cache}:meta").Val()
	ranks := redis.ZRange(ctx, "{cache}:ranks", 0, -1).Val()
	if len(values) != capacity || len(metas) != capacity || len(ranks) != capacity {
		t.Fatalf("%d values, %d meta, %d ranks; want %d each", len(values), len(metas), len(ranks), capacity)
	}
	for _, member := range ranks {
		key := member[6:]
		if _, ok := values[key]; !ok || metas[key] == "" || created[key] == 0 {
			t.Errorf("%q: value %v, meta %q, created %d times", key, ok, metas[key], created[key])
		}
	}
}

func TestOneNodesWriteReachesTheOthersLocalTier(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	a, _ := node(t, server, s)
	b, _ := node(t, server, s)
	create(t, a, "k", "0")
	for i := range 50 {
		last := fmt.Sprint(i)
		if got := value(t, b, "k"); got != last {
			t.Fatalf("round %d: node b serves %q", i, got)
		}
		next := fmt.Sprint(i + 1)
		put(t, a, "k", next)
		if got := value(t, a, "k"); got != next {
			t.Fatalf("round %d: node a serves %q after its own write of %q", i, got, next)
		}
		eventually(t, "node b serves the new value", func() bool {
			got := value(t, b, "k")
			if got != next && got != last {
				t.Fatalf("round %d: node b serves %q", i, got)
			}
			return got == next
		})
	}
}

func TestAReadAfterOnesOwnWriteStaysLocalThoughItsEventComesLate(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	e, _ := node(t, server, s)
	// Events follow a write by some time; among many rounds, many come in
	// between or after the reads.
	for i := range 200 {
		key := fmt.Sprint(i)
		create(t, e, key, "v")
		get(t, e, key)
		if a := get(t, e, key); a.Source != engine.Local {
			t.Fatalf("round %d: the second read went to the store", i)
		}
	}
	for i := range 200 {
		if a := get(t, e, fmt.Sprint(i)); a.Source != engine.Local {
			t.Fatalf("key %d left the local tier", i)
		}
	}
}

func TestTheLimitsSetLastAreInForceForAllAndTheOtherNodeSaysSoOnce(t *testing.T) {
	server := redistest.Start(t)
	small, large := patient(), patient()
	small.Limits.MaxKeys, large.Limits.MaxKeys = 5, 50
	a, logs := node(t, server, small)
	create(t, a, "first", "v")
	b, _ := node(t, server, large)
	create(t, b, "second", "v")
	for i := range 30 {
		create(t, a, fmt.Sprint(i), "v")
	}
	if n := server.Client().HLen(context.Background(), "{cache}:values").Val(); n != 32 {
		t.Errorf("%d keys, want all 32", n)
	}
	if n := logs.FilterMessageSnippet("set other limits").Len(); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

func TestALocalTierForgetsWhatAFlushTook(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	e, _ := node(t, server, s)
	create(t, e, "k", "v")
	create(t, e, "l", "v")
	value(t, e, "k")
	server.Client().FlushAll(context.Background())
	value(t, e, "l") // any answer of the store shows it
	if got := value(t, e, "k"); got != "absent" {
		t.Fatalf("got %q", got)
	}
}

func TestANodeThatSawNoWriteNoticesAFlushByItsFirstEvent(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	b, _ := node(t, server, s)
	for i := range 3 {
		create(t, b, fmt.Sprint(i), "v")
	}
	create(t, b, "k", "old")
	a, _ := node(t, server, s)
	value(t, a, "k")
	server.Client().FlushAll(context.Background())
	create(t, b, "k", "new")
	eventually(t, "node a serves the new value", func() bool { return value(t, a, "k") == "new" })
}

func TestANodesOwnReloadIsNotTakenForAnotherNodes(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	e, logs := node(t, server, s)
	for i := range 300 {
		s.Limits.MaxKeys = 1000 + i%2
		e.Configure(s)
		create(t, e, fmt.Sprint(i), "v")
	}
	if n := logs.FilterMessageSnippet("set other limits").Len(); n != 0 {
		t.Errorf("%d warnings", n)
	}
	if got := server.Client().HGet(context.Background(), "{cache}:state", "max_keys").Val(); got != "1001" {
		t.Errorf("max_keys is %s", got)
	}
}

// After a failover, a name leads to another server. The old server is now a replica,
// and keeps its connections.
func TestAReadOnlyServerIsLeftForTheOneThatTheNameLeadsToNow(t *testing.T) {
	before, after := redistest.Start(t), redistest.Start(t)
	var leads atomic.Pointer[string]
	leads.Store(&before.Addr)
	name := forward(t, &leads)
	s := patient()
	s.LocalTTL = 0
	e, _ := nodeAt(t, "redis://"+name+"/0", s)
	create(t, e, "k", "old")
	leads.Store(&after.Addr)
	before.Client().Do(context.Background(), "REPLICAOF", "127.0.0.1", "1")
	eventually(t, "a write goes to the new server", func() bool {
		_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("new")})
		return err == nil
	})
	if got := after.Client().HGet(context.Background(), "{cache}:values", "k").Val(); got != "new" {
		t.Errorf("the new server has %q", got)
	}
}

// forward passes new connections on to the address in leads.
func forward(t *testing.T, leads *atomic.Pointer[string]) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", *leads.Load())
			if err != nil {
				client.Close()
				continue
			}
			pipe := func(to, from net.Conn) {
				io.Copy(to, from)
				to.Close()
				from.Close()
			}
			running.Go(func() { pipe(server, client) })
			running.Go(func() { pipe(client, server) })
		}
	})
	return l.Addr().String()
}
