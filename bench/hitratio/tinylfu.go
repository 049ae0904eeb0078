package main

import "github.com/maypok86/otter/v2"

// tinyLFU returns the hits of otter, a cache with W-TinyLFU. Otter estimates frequencies
// with hashes, and each cache has a new seed. So two runs differ a little.
func tinyLFU(t *trace, capacity int) int {
	cache := otter.Must(&otter.Options[int32, struct{}]{
		MaximumSize: capacity,
		Executor:    func(f func()) { f() }, // evict at once, not some time later
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
