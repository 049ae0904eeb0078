package storetest

import (
	"math"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// FIFO is a policy that only the tests use: the oldest entry is evicted first, fetched or
// not. The suite runs it to show that a policy needs only its value, its fragment and its
// place in store.Policies.
var FIFO = store.Policy{Name: "fifo", Scale: store.Times, Begin: func(o store.Ranking) store.Turn { return fifo{o} }}

type fifo struct{ store.Ranking }

func (t fifo) Enter(string) float64 {
	s := t.State()
	s.Clock++
	return s.Clock - 0.5
}

// Fetch removes the fraction, so the entry counts as fetched and keeps its place.
func (fifo) Fetch(_ string, score float64, _ int) float64 { return math.Ceil(score) }

func (t fifo) Victim() (store.Place, bool) { return t.Lowest(math.Inf(-1)) }
func (fifo) Forget(string)                 {}
func (fifo) Expire(store.Place)            {}
func (fifo) End()                          {}

// AddFIFO adds FIFO to store.Policies until the test ends. The test must not be parallel.
func AddFIFO(t *testing.T) {
	if _, ok := store.PolicyByName(FIFO.Name); ok {
		t.Fatalf("there is a policy %s: give this one another name", FIFO.Name)
	}
	before := store.Policies
	store.Policies = append(before[:len(before):len(before)], FIFO)
	t.Cleanup(func() { store.Policies = before })
}
