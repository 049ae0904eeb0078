package storetest

import (
	"math"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// FIFO is a policy that no store knows by itself: what was created first leaves
// first, whether it was fetched or not. The suite takes it in, to show that a
// policy is no more than its value, its fragment and its place in
// store.Policies.
var FIFO = store.Policy{Name: "fifo", Scale: store.Times, Begin: func(o store.Ranking) store.Turn { return fifo{o} }}

type fifo struct{ store.Ranking }

func (t fifo) Enter(string) float64 {
	s := t.State()
	s.Clock++
	return s.Clock - 0.5
}

// Fetch takes the fraction away, and so keeps the place.
func (fifo) Fetch(_ string, score float64, _ int) float64 { return math.Ceil(score) }

func (t fifo) Leaves() (store.Place, bool) { return t.Lowest(math.Inf(-1)) }
func (fifo) Forget(string)                 {}
func (fifo) End()                          {}

// AddFIFO lets there be FIFO until the test ends, which must not be parallel.
func AddFIFO(t *testing.T) {
	before := store.Policies
	store.Policies = append(before[:len(before):len(before)], FIFO)
	t.Cleanup(func() { store.Policies = before })
}
