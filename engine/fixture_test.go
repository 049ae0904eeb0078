package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// settings are small enough to reach in a test. Their times are for synctest's
// clock; patient has those for a real one.
func settings() engine.Settings {
	return engine.Settings{
		Limits:          store.Limits{MaxKeys: 1000, Eviction: "rank"},
		LocalTTL:        30 * time.Second,
		LocalMaxBytes:   64 << 20,
		UnsubscribedTTL: time.Second,
		MaxQueueJobs:    64,
		MaxQueueBytes:   1 << 20,
		Timeout:         time.Second,
		DrainTimeout:    5 * time.Second,
	}
}

// open returns an engine that ends with the test. Under synctest, the test itself must
// close it inside the bubble.
func open(t *testing.T, st store.Store, s engine.Settings) *engine.Engine {
	t.Helper()
	e := engine.New(st, s, engine.Options{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return e
}

func text(s string) store.Value { return store.Value{Data: []byte(s), Kind: store.String} }

func get(t *testing.T, e *engine.Engine, key string) engine.Answer {
	t.Helper()
	a, err := e.Get(context.Background(), key, engine.Read{})
	if err != nil {
		t.Fatalf("getting %q: %v", key, err)
	}
	return a
}

// value returns the value that a Get of key answers, or "absent".
func value(t *testing.T, e *engine.Engine, key string) string {
	t.Helper()
	return read(get(t, e, key))
}

func read(a engine.Answer) string {
	if a.Entry == nil {
		return "absent"
	}
	return string(a.Entry.Data)
}

func create(t *testing.T, e *engine.Engine, key, v string) {
	t.Helper()
	want(t, store.Created)(e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text(v)}))
}

func put(t *testing.T, e *engine.Engine, key, v string) store.Result {
	t.Helper()
	r, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: key, Value: text(v)})
	if err != nil {
		t.Fatalf("putting %q: %v", key, err)
	}
	return r
}

func remove(t *testing.T, e *engine.Engine, key string) {
	t.Helper()
	want(t, store.Deleted)(e.Write(context.Background(), store.Write{Op: store.Delete, Key: key}))
}

func want(t *testing.T, o store.Outcome) func(store.Result, error) {
	t.Helper()
	return func(r store.Result, err error) {
		t.Helper()
		if err != nil || r.Outcome != o {
			t.Fatalf("got outcome %d, error %v; want outcome %d", r.Outcome, err, o)
		}
	}
}

// scripted is a memory store whose calls a test can hold up, fail and watch.
type scripted struct {
	*memstore.Store

	mu      sync.Mutex
	fetches [][]string
	brought []int // how many entries each fetch brought
	uses    []store.Use
	batches []store.Batch
	epoch   string
	// The hooks, if set, run before and after a call goes to the memory
	// store. An error from one is the call's.
	beforeFetch, afterFetch func(keys []string) error
	beforeApply, afterApply func(store.Batch) error
}

func newScripted() *scripted { return &scripted{Store: memstore.New()} }

func (s *scripted) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, keys)
	s.uses = append(s.uses, uses...)
	before, after := s.beforeFetch, s.afterFetch
	s.mu.Unlock()
	if before != nil {
		if err := before(keys); err != nil {
			return store.Fetched{}, err
		}
	}
	f, err := s.Store.Fetch(ctx, keys, room, uses...)
	s.mu.Lock()
	f.Epoch = s.epoch
	s.brought = append(s.brought, len(f.Entries))
	s.mu.Unlock()
	if after != nil && err == nil {
		err = after(keys)
	}
	return f, err
}

func (s *scripted) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	s.mu.Lock()
	s.batches = append(s.batches, b)
	before, after := s.beforeApply, s.afterApply
	s.mu.Unlock()
	if before != nil {
		if err := before(b); err != nil {
			return store.Applied{}, err
		}
	}
	a, err := s.Store.Apply(ctx, b)
	if after != nil && err == nil {
		err = after(b)
	}
	return a, err
}

// set changes the hooks while the engine runs.
func (s *scripted) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *scripted) fetchCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

func (s *scripted) batchSizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sizes []int
	for _, b := range s.batches {
		if len(b.Writes) > 0 {
			sizes = append(sizes, len(b.Writes))
		}
	}
	return sizes
}

// watched is a scripted store with events, as if other nodes wrote to it.
type watched struct {
	*scripted
	observers chan store.Observer
	lastEvent store.Version // of the last write by others
}

func newWatched() *watched {
	return &watched{scripted: newScripted(), observers: make(chan store.Observer, 1)}
}

func (w *watched) Watch(ctx context.Context, o store.Observer) {
	w.observers <- o
	<-ctx.Done()
}
