package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// mixed is a short trace with popular keys and many that come once.
func mixed(requests int) *trace {
	popular := newZipf(200, 0.8)
	return generate("mixed", requests, func(i int, r *rand.Rand) int {
		if r.IntN(4) == 0 {
			return 1000 + i
		}
		return popular.next(r)
	})
}

func TestHitsAreTheSameThroughTheEngineTheStoreAndRedis(t *testing.T) {
	tr := mixed(800)
	server := redistest.Start(t)
	throughEngine, throughStore, throughRedis := inMemory(len(tr.requests)), inMemory(0), inRedis(server.URL())
	for i, c := range throughEngine {
		for _, capacity := range []int{1, 20, 60} {
			want, err := c.play(t.Context(), tr, capacity)
			if err != nil {
				t.Fatal(err)
			}
			for way, other := range map[string]*contender{"the store": throughStore[i], "Redis": throughRedis[i]} {
				got, err := other.play(t.Context(), tr, capacity)
				if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("%s with %d keys: %v through the engine, %v through %s", c.name, capacity, want, got, way)
				}
			}
		}
	}
}

func TestAReplayThatFailsSaysWhere(t *testing.T) {
	broken := errors.New("broken")
	r := results{}
	r.want(rows(mixed(10), []int{5, 6}), []*contender{plainLRU, {"some policy", func(context.Context, *trace, int) (float64, error) {
		return 0, broken
	}}})
	err := r.fill(t.Context())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "some policy, mixed with ") {
		t.Errorf("got %v", err)
	}
}
