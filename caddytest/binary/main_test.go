package binary

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds how long a test may hang. No result depends on it; a machine may be busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soaking reports whether to run the long versions of the tests.
func soaking() bool { return os.Getenv("SOAK") != "" }

// usually returns the first of two values, or the second when soaking.
func usually[T any](short, long T) T {
	if soaking() {
		return long
	}
	return short
}

// newSeed returns SEED, or a random seed, and logs it.
func newSeed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(rand.Uint32())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	t.Logf("to repeat the choices: SEED=%d", seed)
	return seed
}

// await polls until done reports true.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// background runs functions until the returned function is called, or the test ends.
func background(t testing.TB, run ...func(stop <-chan struct{})) func() {
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, f := range run {
		running.Go(func() { f(stop) })
	}
	end := sync.OnceFunc(func() {
		close(stop)
		running.Wait()
	})
	t.Cleanup(end)
	return end
}
