package redisstore

import (
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestGhostsTakeNoMoreThanTheKeysOwnMetadata fills namespaces under adaptive until
// there are as many ghosts as entries, and as many keys in the shadow.
func TestGhostsTakeNoMoreThanTheKeysOwnMetadata(t *testing.T) {
	for _, n := range []int{100, 1000, 1024, 5000} {
		for _, batch := range []int{1, 50} {
			if batch == 1 && n > 1024 {
				continue
			}
			t.Run(fmt.Sprintf("%d keys in batches of %d", n, batch), func(t *testing.T) {
				f := newFixture(t)
				f.limits = store.Limits{MaxKeys: n, Eviction: "adaptive"}
				for i := 0; i < 3*n; i += batch {
					var writes []store.Write
					for j := range batch {
						writes = append(writes, create(fmt.Sprintf("key-%016d", i+j), "value"))
					}
					f.apply(writes...)
				}
				size := func(name string) float64 {
					return float64(f.redis.MemoryUsage(f.ctx(), "{cache}:"+name, 0).Val())
				}
				if ghosts, shadow := f.count("ghosts"), f.count("shadow"); ghosts < int64(n*9/10) || shadow < int64(n*9/10) {
					t.Fatalf("%d ghosts, %d in the shadow", ghosts, shadow)
				}
				own := size("meta") + size("ranks")
				ghosts, shadow := size("ghosts")/own, size("shadow")/own
				t.Logf("ghosts %.2f, shadow %.2f of meta and ranks", ghosts, shadow)
				// Below 128 keys, Redis stores meta and ranks in a smaller form. A shadow
				// that was once larger keeps the larger form.
				if ghosts > 0.75 || n > 128 && ghosts+shadow > 1.3 {
					t.Errorf("ghosts take %.2f, and the shadow %.2f of what meta and ranks take", ghosts, shadow)
				}
			})
		}
	}
}
