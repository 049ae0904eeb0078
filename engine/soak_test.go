package engine_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// soak returns how long the tests that use chance go on: the duration in SOAK, such as
// 10m, or else a short time.
func soak(t *testing.T, usual time.Duration) time.Duration {
	t.Helper()
	s := os.Getenv("SOAK")
	if s == "" {
		return usual
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	return d
}

// rounds runs a test with a fixed seed and, at the same time, a random one, and
// with more random ones until the time of SOAK is over. SEED runs it with that
// seed alone.
func rounds(t *testing.T, round func(t *testing.T, seed uint64)) {
	t.Helper()
	run := func(seeds ...uint64) {
		var running sync.WaitGroup
		for _, seed := range seeds {
			running.Go(func() {
				t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
					t.Logf("to repeat: SEED=%d", seed)
					round(t, seed)
				})
			})
		}
		running.Wait()
	}
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		run(seed)
		return
	}
	end := time.Now().Add(soak(t, 0))
	run(1, uint64(rand.Uint32()))
	for !t.Failed() && time.Now().Before(end) {
		run(uint64(rand.Uint32()), uint64(rand.Uint32()))
	}
}
