package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// shortTime bounds calls that get no answer.
const shortTime = 3 * time.Second

// room is a namespace with a store, which reaches it through a proxy. Each room has its
// own, and any number of rooms may share a server.
type room struct {
	*testing.T
	name   string
	server *redistest.Server
	redis  *redis.Client
	proxy  *faultproxy.Proxy
	store  *Store
	limits store.Limits
}

func newRoom(t *testing.T, server *redistest.Server, name string) *room {
	t.Helper()
	r := &room{T: t, name: name, server: server, redis: server.Client(), proxy: faultproxy.Start(t, server.Addr)}
	r.limits = store.Limits{MaxKeys: 2, Eviction: "rank"}
	r.store = r.open(r.proxy.URL())
	// Now the server knows the scripts, and the store has connections.
	r.outcome(r.apply(create("filler", "x")), store.Created)
	r.fetch("none")
	return r
}

func (r *room) open(url string) *Store {
	r.Helper()
	target, err := Parse(url)
	if err != nil {
		r.Fatal(err)
	}
	s := New(Config{Target: target, Namespace: r.name, Logger: zap.NewNop()})
	r.Cleanup(func() { _ = s.Close() })
	return s
}

func (r *room) try(limit time.Duration, w ...store.Write) (store.Applied, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return r.store.Apply(ctx, store.Batch{Writes: w, Limits: r.limits})
}

// unanswered applies a write that gets no answer. On a busy machine the time may end
// before the write is sent. So it tries until the write was sent once.
func (r *room) unanswered(w store.Write) {
	r.Helper()
	before, _ := r.proxy.Scripts()
	var err error
	r.until("the write is sent", func() bool {
		_, err = r.try(shortTime, w)
		return !errors.Is(err, store.ErrUnavailable)
	})
	if !errors.Is(err, store.ErrFateUnknown) {
		r.Errorf("got %v", err)
	}
	r.until("it has come", func() bool {
		came, _ := r.proxy.Scripts()
		return came > before
	})
}

func (r *room) apply(w ...store.Write) store.Applied {
	r.Helper()
	a, err := r.try(patience, w...)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// direct applies a write of another client.
func (r *room) direct(w store.Write) store.Applied {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := r.open(r.server.URL()).Apply(ctx, store.Batch{Writes: []store.Write{w}, Limits: r.limits})
	if err != nil {
		r.Fatal(err)
	}
	return a
}

func (r *room) fetch(key string) *store.Entry {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f, err := r.store.Fetch(ctx, []string{key}, store.AnyRoom)
	if err != nil {
		r.Fatal(err)
	}
	return f.Entries[0]
}

func (r *room) outcome(a store.Applied, want store.Outcome) {
	r.Helper()
	if got := a.Results[len(a.Results)-1]; got.Outcome != want {
		r.Errorf("outcome %d (%s), want %d", got.Outcome, got.Reason, want)
	}
}

// together returns a function that runs subtests at the same time, even on few
// processors: the subtests mostly wait.
func together(t *testing.T) (run func(name string, test func(*testing.T)), wait func()) {
	var running sync.WaitGroup
	return func(name string, test func(*testing.T)) {
		running.Go(func() { t.Run(name, test) })
	}, running.Wait
}

// contents is the data of a namespace. A write that was applied twice would change the
// write number, the version of an entry or its rank.
type contents struct {
	number  uint64
	entries map[string]string
}

func (r *room) contents() contents {
	r.Helper()
	ctx, prefix := context.Background(), "{"+r.name+"}:"
	c := contents{number: decodeHead(r.redis.HGet(ctx, prefix+"state", "head").Val()).number, entries: map[string]string{}}
	values, metas := r.redis.HGetAll(ctx, prefix+"values").Val(), r.redis.HGetAll(ctx, prefix+"meta").Val()
	ranks := r.redis.ZRangeWithScores(ctx, prefix+"ranks", 0, -1).Val()
	if len(values) != len(metas) || len(values) != len(ranks) {
		r.Errorf("%d values, %d meta, %d ranks", len(values), len(metas), len(ranks))
	}
	for _, member := range ranks {
		key := member.Member.(string)[insertionSize:]
		e := decodeEntry(values[key], metas[key])
		c.entries[key] = fmt.Sprintf("%s at %x, rank %v", e.Data, e.Version.Number, member.Score)
	}
	return c
}

func (r *room) wantContents(want contents) {
	r.Helper()
	if got := r.contents(); got.number != want.number || !maps.Equal(got.entries, want.entries) {
		r.Errorf("got %v, want %v", got, want)
	}
}

// until polls a condition that depends on the proxy and the server.
func (r *room) until(what string, condition func() bool) {
	r.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-end:
			r.Fatalf("not within %v: %s", patience, what)
		}
	}
}
