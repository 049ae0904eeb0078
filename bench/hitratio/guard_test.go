package main

import (
	"math"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// means are the mean hit ratios of the policies on the loads of guarded. They are not
// random, but another processor may round differently.
var means = map[string]float64{
	"rank":     0.3372,
	"lru":      0.3362,
	"adaptive": 0.4967,
}

// guarded returns synthetic loads that are small enough for every run of the tests.
func guarded() []row {
	const loop = 275
	var all []row
	for _, t := range synthetic(10_000, 2_000, loop) {
		if t.name == "loop" {
			all = append(all, rows(t, []int{125, 250})...)
			continue
		}
		all = append(all, rows(t, []int{25, 100, 250})...)
	}
	return all
}

func TestPoliciesKeepTheirHitRatios(t *testing.T) {
	rows := guarded()
	r := results{}
	ours := map[string]*contender{}
	for _, c := range inMemory(0) {
		ours[c.name] = c
	}
	for _, p := range store.Policies {
		if _, ok := means[p.Name]; !ok {
			t.Errorf("nothing is expected of the policy %s", p.Name)
		}
	}
	all := []*contender{plainLRU}
	for name := range means {
		if ours[name] == nil {
			t.Fatalf("there is no policy %s", name)
		}
		all = append(all, ours[name])
	}
	r.want(rows, all)
	if err := r.fill(t.Context()); err != nil {
		t.Fatal(err)
	}

	for name, want := range means {
		if got := r.mean(rows, ours[name]); math.Abs(got-want) > 0.002 {
			t.Errorf("%s: a mean hit ratio of %.4f, want %.4f", name, got, want)
		}
	}
	adaptive := r.mean(rows, ours["adaptive"])
	for _, name := range []string{"rank", "lru"} {
		if other := r.mean(rows, ours[name]); adaptive <= other {
			t.Errorf("adaptive: a mean hit ratio of %.4f, not above the %.4f of %s", adaptive, other, name)
		}
	}
	for _, row := range rows {
		lru, adaptive := r[run{row, ours["lru"]}], r[run{row, ours["adaptive"]}]
		if plain := r[run{row, plainLRU}]; lru != plain {
			t.Errorf("%s with %d keys: %.4f by lru, %.4f by a plain list", row.trace.name, row.capacity, lru, plain)
		}
		if adaptive < lru-0.02 {
			t.Errorf("%s with %d keys: %.4f by adaptive, %.4f by lru", row.trace.name, row.capacity, adaptive, lru)
		}
	}
}

// TestASwitchKeepsWhatIsKnown uses rank for the first half of a load and adaptive for the
// second half. It compares the second half with adaptive from the start.
func TestASwitchKeepsWhatIsKnown(t *testing.T) {
	zipf := synthetic(40_000, 2_000, 275)[1]
	half := len(zipf.requests) / 2
	first, second := *zipf, *zipf
	first.requests, second.requests = zipf.requests[:half], zipf.requests[half:]
	for _, capacity := range []int{100, 250} {
		after := func(policies ...string) float64 {
			c := direct{memstore.New(), store.Limits{MaxKeys: capacity}}
			defer c.Close()
			for i, policy := range policies {
				c.limits.Eviction = policy
				if _, err := c.Apply(t.Context(), store.Batch{Limits: c.limits, SetLimits: true}); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					if _, err := replay(t.Context(), &first, c); err != nil {
						t.Fatal(err)
					}
				}
			}
			hits, err := replay(t.Context(), &second, c)
			if err != nil {
				t.Fatal(err)
			}
			return second.ratio(hits)
		}
		rank, adaptive := after("rank"), after("adaptive")
		there, back := after("rank", "adaptive"), after("rank", "adaptive", "rank")
		t.Logf("%d keys: rank %.3f, adaptive %.3f, adaptive after rank %.3f, and back %.3f", capacity, rank, adaptive, there, back)
		if there < adaptive-0.015 || there < rank {
			t.Errorf("%d keys: %.3f by adaptive after rank, %.3f by adaptive, %.3f by rank", capacity, there, adaptive, rank)
		}
		if math.Abs(back-rank) > 0.002 {
			t.Errorf("%d keys: %.3f by rank after adaptive after rank, %.3f by rank", capacity, back, rank)
		}
	}
}

// TestPoliciesKeepTheirHitRatiosBehindALocalTier has a local tier that answers recently
// read keys, with and without telling the store.
func TestPoliciesKeepTheirHitRatiosBehindALocalTier(t *testing.T) {
	want := map[string]float64{
		"rank": 0.6042, "rank, told": 0.6046,
		"lru": 0.4633, "lru, told": 0.5019,
		"adaptive": 0.4749, "adaptive, told": 0.6236,
	}
	r := results{}
	load := row{synthetic(40_000, 2_000, 275)[1], 100}
	all := behindLocal(false)
	r.want([]row{load}, all)
	if err := r.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		expected, ok := want[c.name]
		if got := r[run{load, c}]; !ok || math.Abs(got-expected) > 0.002 {
			t.Errorf("%s: a hit ratio of %.4f, want %.4f", c.name, got, expected)
		}
	}
	for _, policy := range []string{"lru", "adaptive"} {
		if want[policy+", told"] <= want[policy] {
			t.Errorf("%s gains nothing from being told", policy)
		}
	}
}
