package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// seed makes the synthetic loads the same in every run.
const seed = 2017

// synthetic returns the loads that need no file. Each has so many requests for so many keys;
// the loop has loop keys.
func synthetic(requests, keys, loop int) []*trace {
	flat, steep := newZipf(keys, 0.8), newZipf(keys, 1)
	return []*trace{
		generate("Zipf 0.8", requests, func(_ int, r *rand.Rand) int { return flat.next(r) }),
		generate("Zipf 1.0", requests, func(_ int, r *rand.Rand) int { return steep.next(r) }),

		// A quarter of the time, a crawler or an export reads keys that no other client
		// wants.
		generate("scans over Zipf 1.0", requests, func(i int, r *rand.Rand) int {
			if i%(requests/10) >= requests/10*3/4 {
				return keys + i
			}
			return steep.next(r)
		}),

		// Ten times, all popular keys change at once.
		generate("shifting Zipf 1.0", requests, func(i int, r *rand.Rand) int {
			return (steep.next(r) + i/(requests/10)*(keys/10)) % keys
		}),

		generate("loop", requests, func(i int, _ *rand.Rand) int { return i % loop }),
	}
}

func generate(name string, requests int, key func(i int, r *rand.Rand) int) *trace {
	r := rand.New(rand.NewPCG(seed, uint64(len(name))))
	numbers := make([]int, requests)
	for i := range numbers {
		numbers[i] = key(i, r)
	}
	return newTrace(name, numbers)
}

// zipf draws numbers from 0 on; the n-th has a weight of 1/n^exponent. The one in math/rand
// takes only exponents above 1.
type zipf []float64 // cumulative weights

func newZipf(n int, exponent float64) zipf {
	z := make(zipf, n)
	sum := 0.0
	for i := range z {
		sum += math.Pow(float64(i+1), -exponent)
		z[i] = sum
	}
	return z
}

func (z zipf) next(r *rand.Rand) int {
	return sort.SearchFloat64s(z, r.Float64()*z[len(z)-1])
}
