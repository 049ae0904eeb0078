package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// patience bounds waiting for what must happen; a machine may be busy.
const patience = time.Minute

// fixture is a namespace on a Redis of its own.
type fixture struct {
	*testing.T
	server *redistest.Server
	redis  *redis.Client
	store  *Store
	logs   *observer.ObservedLogs
	limits store.Limits
}

// Patient gives the first try of each call half of the call's time. A fetch that is tried
// again raises no rank, since the first try may have, and a busy machine may need long for
// that one. A comparison with a model would see it.
func Patient(s *Store) *Store {
	s.firstTry = patience
	return s
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return fixtureOn(t, redistest.Start(t))
}

// fixtureOn is newFixture on a server that other tests have used.
func fixtureOn(t *testing.T, server *redistest.Server) *fixture {
	t.Helper()
	server.Client().FlushAll(t.Context())
	f := &fixture{T: t, server: server, redis: server.Client(), limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	f.store, f.logs = f.open(server.URL())
	return f
}

func (f *fixture) open(url string) (*Store, *observer.ObservedLogs) {
	f.Helper()
	return f.openTarget(parse(f.T, url))
}

func (f *fixture) openTarget(target *Target) (*Store, *observer.ObservedLogs) {
	f.Helper()
	core, logs := observer.New(zap.WarnLevel)
	s := New(Config{Target: target, Namespace: "cache", Logger: zap.New(core)})
	f.Cleanup(func() { _ = s.Close() })
	return s, logs
}

func parse(t *testing.T, url string) *Target {
	t.Helper()
	target, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// ctx gives a call more time than it needs.
func (f *fixture) ctx() context.Context { return f.within(patience) }

// within bounds a call as redis_timeout does.
func (f *fixture) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	f.Cleanup(cancel)
	return ctx
}

func (f *fixture) apply(writes ...store.Write) store.Applied {
	f.Helper()
	a, err := f.store.Apply(f.ctx(), store.Batch{Writes: writes, Limits: f.limits})
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// fill creates n entries in one call.
func (f *fixture) fill(format string, n int) {
	f.Helper()
	var writes []store.Write
	for i := range n {
		writes = append(writes, create(fmt.Sprintf(format, i), "v"))
	}
	f.apply(writes...)
}

func (f *fixture) fetch(keys ...string) store.Fetched {
	f.Helper()
	got, err := f.store.Fetch(f.ctx(), keys, store.AnyRoom)
	if err != nil {
		f.Fatal(err)
	}
	return got
}

func (f *fixture) do(args ...any) any {
	f.Helper()
	v, err := f.redis.Do(f.ctx(), args...).Result()
	if err != nil {
		f.Fatalf("%v: %v", args, err)
	}
	return v
}

func (f *fixture) outcomes(a store.Applied, want ...store.Outcome) {
	f.Helper()
	for i, r := range a.Results {
		if r.Outcome != want[i] {
			f.Errorf("write %d: outcome %d (%s), want %d", i, r.Outcome, r.Reason, want[i])
		}
	}
}

// consistent fails the test unless values, meta and ranks name the same keys,
// in the forms that layout.go describes.
func (f *fixture) consistent() {
	f.Helper()
	values := f.redis.HGetAll(f.ctx(), "{cache}:values").Val()
	metas := f.redis.HGetAll(f.ctx(), "{cache}:meta").Val()
	ranks := f.redis.ZRange(f.ctx(), "{cache}:ranks", 0, -1).Val()
	if len(values) != len(metas) || len(values) != len(ranks) {
		f.Errorf("%d values, %d meta, %d ranks", len(values), len(metas), len(ranks))
	}
	for key := range values {
		if e := decodeEntry(values[key], metas[key]); e.Version.Number == 0 {
			f.Errorf("meta of %q is %q", key, metas[key])
		}
	}
	for _, member := range ranks {
		if _, ok := values[member[insertionSize:]]; !ok {
			f.Errorf("member %q has no value", member)
		}
	}
}

// head is the head of the state.
func (f *fixture) head() head {
	f.Helper()
	return decodeHead(f.redis.HGet(f.ctx(), "{cache}:state", "head").Val())
}

// rank is the score of an entry.
func (f *fixture) rank(key string) float64 {
	f.Helper()
	m, _ := decodeMeta(f.redis.HGet(f.ctx(), "{cache}:meta", key).Val())
	return f.redis.ZScore(f.ctx(), "{cache}:ranks", memberOf(m.insertion, key)).Val()
}

func memberOf(insertion uint64, key string) string {
	return string(binary.BigEndian.AppendUint64(nil, insertion)[8-insertionSize:]) + key
}

func create(key, v string) store.Write {
	return store.Write{Op: store.Create, Key: key, Value: store.Value{Data: []byte(v), Kind: store.String}}
}

func put(key, v string) store.Write {
	w := create(key, v)
	w.Op = store.Put
	return w
}

func remove(key string) store.Write { return store.Write{Op: store.Delete, Key: key} }

// observe waits for the event of a write by another client.
func (f *fixture) observe() {
	f.Helper()
	f.observeAt(f.server.URL())
}

// observeAt is observe for a writer at url.
func (f *fixture) observeAt(url string) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx())
	o := observed{subscribed: make(chan struct{}, 1), changed: make(chan store.Event, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.store.Watch(ctx, o)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	select {
	case <-o.subscribed:
	case <-ctx.Done():
		f.Fatal("no subscription")
	}
	other, _ := f.open(url)
	if _, err := other.Apply(ctx, store.Batch{Writes: []store.Write{put("seen", "v")}, Limits: f.limits}); err != nil {
		f.Fatal(err)
	}
	select {
	case e := <-o.changed:
		if last := e.Changes[len(e.Changes)-1]; last.Key != "seen" || last.Number != e.ID.Number {
			f.Errorf("event %+v", e)
		}
	case <-ctx.Done():
		f.Fatal("no event")
	}
}

type observed struct {
	subscribed chan struct{}
	changed    chan store.Event
}

func (o observed) Subscribed()           { o.subscribed <- struct{}{} }
func (o observed) Alive(time.Time)       {}
func (o observed) Lost(error)            {}
func (o observed) Changed(e store.Event) { o.changed <- e }
