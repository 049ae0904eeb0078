package httpapi

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// BenchmarkLocalTierHeap fills a local tier with about twice as many entries as it may
// hold. It reports the live heap of the tier, divided by its limit. Time does not matter
// here: run it with -benchtime 1x.
func BenchmarkLocalTierHeap(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"30B", 30}, {"10KiB", 10 << 10}} {
		b.Run(size.name, func(b *testing.B) {
			for b.Loop() {
				measureLocalTier(b, size.bytes)
			}
		})
	}
}

func measureLocalTier(b *testing.B, valueSize int) {
	const limit = 64 << 20
	ctx := context.Background()
	before := liveHeap()
	e := engine.New(anyKey{value: strings.Repeat("x", valueSize), kind: store.String}, engine.Settings{
		Limits:        store.Limits{MaxKeys: math.MaxInt, Eviction: store.Rank.Name},
		LocalTTL:      time.Hour,
		LocalMaxBytes: limit,
		Timeout:       time.Minute,
		DrainTimeout:  time.Second,
	}, engine.Options{Prepare: Prepare})

	inserted := 2 * limit / (valueSize + 500) // an estimate of the size of an entry
	for i := range inserted {
		// The handler's key is a part of the request's path too.
		path := fmt.Sprintf("/cache/key-%016d", i)
		if _, err := e.Get(ctx, path[len("/cache/"):], engine.Read{}); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // for the background work of the local tier
	live := float64(liveHeap() - before)
	kept := 0
	for i := range inserted {
		if _, err := e.Get(ctx, fmt.Sprintf("key-%016d", i), engine.Read{LocalOnly: true}); err == nil {
			kept++
		}
	}
	if kept == inserted {
		b.Fatal("everything fits: the tier is not full")
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(live/limit, "heap/limit")
	b.ReportMetric(float64(kept), "entries")
	b.ReportMetric(live/float64(kept), "B/entry")
}

// liveHeap returns the bytes in use after all garbage is collected.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // frees what finalizers and pools held in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// anyKey is a store that has every key, with a copy of the same value.
type anyKey struct {
	store.Store
	value       string
	kind        store.Kind
	contentType string
}

func (s anyKey) Fetch(_ context.Context, keys []string, _ store.Room, _ ...store.Use) (store.Fetched, error) {
	f := store.Fetched{Entries: make([]*store.Entry, len(keys)), Number: 1}
	for i := range keys {
		f.Entries[i] = &store.Entry{
			Value:   store.Value{Data: []byte(s.value), Kind: s.kind, ContentType: s.contentType},
			Version: store.Version{Number: math.MaxUint32, Tag: math.MaxUint32},
		}
	}
	return f, nil
}

func (s anyKey) Apply(_ context.Context, batch store.Batch) (store.Applied, error) {
	return store.Applied{Results: make([]store.Result, len(batch.Writes)), Number: 1, Limits: batch.Limits}, nil
}

func (anyKey) Close() error { return nil }
