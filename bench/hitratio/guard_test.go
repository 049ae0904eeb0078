package main

import (
	"math"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// means are the hit ratios that the policies reach on the loads of guarded.
var means = map[string]float64{
	"rank": 0.3623,
}

// guarded are the synthetic loads, small enough for every run of the tests.
func guarded() []row {
	const loop = 550
	var all []row
	for _, t := range synthetic(20_000, 4_000, loop) {
		if t.name == "loop" {
			all = append(all, rows(t, []int{250, 500})...)
			continue
		}
		all = append(all, rows(t, []int{50, 200, 500})...)
	}
	return all
}

func TestPoliciesKeepTheirHitRatios(t *testing.T) {
	rows, ours := guarded(), inMemory(0)
	r := results{}
	r.want(rows, ours)
	if err := r.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range ours {
		want, ok := means[c.name]
		if !ok {
			t.Errorf("nothing is expected of the policy %s", c.name)
		}
		if got := r.mean(rows, c); math.Abs(got-want) > 0.003 {
			t.Errorf("%s: a mean hit ratio of %.4f, want %.4f", c.name, got, want)
		}
	}
	if len(ours) != len(store.Policies) || len(means) != len(ours) {
		t.Errorf("%d policies were measured, %d are expected", len(ours), len(means))
	}
}
