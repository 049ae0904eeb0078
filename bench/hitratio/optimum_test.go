package main

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

func TestTheOptimumIsTheMostThatAnyChoiceReaches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		numbers := make([]int, 1+r.IntN(14))
		for i := range numbers {
			numbers[i] = r.IntN(6)
		}
		tr := newTrace("random", numbers)
		for capacity := 1; capacity <= 4; capacity++ {
			if got, want := optimum(tr, capacity), bestOfAll(tr.requests, capacity, 0); got != want {
				t.Fatalf("%v with %d keys: %d hits, %d are possible", numbers, capacity, got, want)
			}
		}
	}
}

// bestOfAll tries every choice of a key to evict, the new key included. The bits of held are
// the held keys.
func bestOfAll(requests []int32, capacity int, held uint) int {
	if len(requests) == 0 {
		return 0
	}
	key := uint(1) << requests[0]
	if held&key != 0 {
		return 1 + bestOfAll(requests[1:], capacity, held)
	}
	held |= key
	if bits.OnesCount(held) <= capacity {
		return bestOfAll(requests[1:], capacity, held)
	}
	best := 0
	for left := held; left != 0; left &= left - 1 {
		best = max(best, bestOfAll(requests[1:], capacity, held&^(left&-left)))
	}
	return best
}

func TestNoContenderIsAboveTheOptimum(t *testing.T) {
	tr := mixed(2000)
	for _, capacity := range []int{1, 10, 50, 200} {
		most, err := bound.play(t.Context(), tr, capacity)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(inMemory(0), plainLRU, wTinyLFU) {
			if got, err := c.play(t.Context(), tr, capacity); err != nil || got > most || got < 0 {
				t.Errorf("%s with %d keys: %v, %v; the optimum is %v", c.name, capacity, got, err, most)
			}
		}
	}
}

func TestLRUKeepsWhatWasRequestedLast(t *testing.T) {
	for _, tt := range []struct {
		requests []int
		capacity int
		want     int
	}{
		{[]int{1, 1, 1}, 1, 2},
		{[]int{1, 2, 1, 2}, 1, 0},
		{[]int{1, 2, 1, 3, 1, 2}, 2, 2},
		{[]int{1, 2, 3, 1, 2, 3}, 2, 0},
		{[]int{1, 2, 3, 1, 2, 3}, 3, 3},
	} {
		if got := lru(newTrace("", tt.requests), tt.capacity); got != tt.want {
			t.Errorf("%v with %d keys: %d hits, want %d", tt.requests, tt.capacity, got, tt.want)
		}
	}
}
