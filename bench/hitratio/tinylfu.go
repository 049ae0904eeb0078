package main

import "github.com/maypok86/otter/v2"

// tinyLFU returns the hits of otter, a cache with W-TinyLFU: of a key with a
// frequency estimated from hashes, which are seeded anew for each cache, so
// that two runs differ a little.
func tinyLFU(t *trace, capacity int) int {
	cache := otter.Must(&otter.Options[int32, struct{}]{
		MaximumSize: capacity,
		Executor:    func(f func()) { f() }, // else it evicts some time later
	})
	defer cache.StopAllGoroutines()
	hits := 0
	for _, key := range t.requests {
		if _, ok := cache.GetIfPresent(key); ok {
			hits++
		} else {
			cache.Set(key, struct{}{})
		}
	}
	return hits
}
