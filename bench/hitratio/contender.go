package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// contender is an eviction policy or another algorithm whose hit ratio is measured.
type contender struct {
	name string
	// play returns the hit ratio of a trace at a capacity.
	play func(ctx context.Context, t *trace, capacity int) (float64, error)
}

func (t *trace) ratio(hits int) float64 { return float64(hits) / float64(len(t.requests)) }

// bound is the hit ratio that no policy exceeds.
var bound = &contender{"OPT", func(_ context.Context, t *trace, capacity int) (float64, error) {
	return t.ratio(optimum(t, capacity)), nil
}}

var plainLRU = &contender{"LRU", func(_ context.Context, t *trace, capacity int) (float64, error) {
	return t.ratio(lru(t, capacity)), nil
}}

// wTinyLFU is the mean of several runs. A short trace gets more runs, since chance has more
// effect on it.
var wTinyLFU = &contender{"W-TinyLFU", func(_ context.Context, t *trace, capacity int) (float64, error) {
	runs := min(max(3, 500_000/len(t.requests)), 9)
	hits := 0
	for range runs {
		hits += tinyLFU(t, capacity)
	}
	return t.ratio(hits) / float64(runs), nil
}}

// inMemory returns our policies in the memory store. Traces of more than engineRequests
// requests use the store directly, shorter ones an engine.
func inMemory(engineRequests int) []*contender {
	var all []*contender
	for _, p := range store.Policies {
		all = append(all, &contender{p.Name, func(ctx context.Context, t *trace, capacity int) (float64, error) {
			limits := store.Limits{MaxKeys: capacity, Eviction: p.Name}
			st := memstore.New()
			if len(t.requests) > engineRequests {
				defer st.Close()
				hits, err := replay(ctx, t, direct{st, limits})
				return t.ratio(hits), err
			}
			e := newThroughEngine(st, limits)
			defer e.Close()
			hits, err := replay(ctx, t, e)
			return t.ratio(hits), err
		}})
	}
	return all
}

// inRedis returns our policies in the Redis at url, through an engine.
func inRedis(url string) []*contender {
	var all []*contender
	var namespaces atomic.Int64
	for _, p := range store.Policies {
		all = append(all, &contender{p.Name, func(ctx context.Context, t *trace, capacity int) (float64, error) {
			target, err := redisstore.Parse(url)
			if err != nil {
				return 0, err
			}
			e := newThroughEngine(redisstore.New(redisstore.Config{
				Target:    target,
				Namespace: fmt.Sprint("hitratio", namespaces.Add(1)),
				Logger:    zap.NewNop(),
			}), store.Limits{MaxKeys: capacity, Eviction: p.Name})
			defer e.Close()
			hits, err := replay(ctx, t, e)
			return t.ratio(hits), err
		}})
	}
	return all
}
