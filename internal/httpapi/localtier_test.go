package httpapi

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestTheLocalTierTakesTheMemoryThatItCounts compares the live heap of a full local tier with
// the bytes that the tier counts. A ninth of these is the spare room of Go's heap, which is
// not live.
func TestTheLocalTierTakesTheMemoryThatItCounts(t *testing.T) {
	jsonValue := `"` + strings.Repeat("x", 1022) + `"`
	for _, c := range []struct {
		name    string
		st      anyKey
		longKey bool
		hits    bool // local hits are counted
		line    int  // the size of the request line beside the key
	}{
		{name: "strings of 30 bytes", st: anyKey{value: strings.Repeat("x", 30), kind: store.String}},
		{name: "with counters of hits", st: anyKey{value: strings.Repeat("x", 30), kind: store.String}, hits: true},
		{name: "no value", st: anyKey{kind: store.Raw}},
		{name: "strings of 1 KiB", st: anyKey{value: strings.Repeat("x", 1<<10), kind: store.String}},
		{name: "strings of 10 KiB", st: anyKey{value: strings.Repeat("x", 10<<10), kind: store.String}},
		{name: "strings of 33 KiB, which are rounded up to 40 KiB", st: anyKey{value: strings.Repeat("x", 33<<10), kind: store.String}},
		{name: "strings to escape", st: anyKey{value: strings.Repeat("\n", 1<<10), kind: store.String}},
		{name: "JSON", st: anyKey{value: jsonValue, kind: store.JSON}},
		{name: "raw values", st: anyKey{value: strings.Repeat("x", 1<<10), kind: store.Raw, contentType: "text/plain"}},
		{name: "long keys", st: anyKey{value: strings.Repeat("x", 30), kind: store.String}, longKey: true},
		{name: "keys of long request lines", st: anyKey{value: strings.Repeat("x", 30), kind: store.String}, line: 4 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := "key-%016d"
			if c.longKey {
				key += strings.Repeat("k", 480)
			}
			before := liveHeap()
			e := engine.New(c.st, engine.Settings{
				Limits:        store.Limits{MaxKeys: math.MaxInt, Eviction: store.Rank.Name},
				LocalTTL:      time.Hour,
				LocalMaxBytes: 4 << 20,
				RankLocalHits: c.hits,
				Timeout:       time.Minute,
				DrainTimeout:  time.Second,
			}, engine.Options{Prepare: Prepare})
			defer e.Close()
			for i := 0; i%256 > 0 || e.Stats().Local.Evictions == 0; i++ {
				k := fmt.Sprintf(key, i)
				line := k + strings.Repeat(" ", c.line)
				if _, err := e.Get(context.Background(), line[:len(k)], engine.Read{}); err != nil {
					t.Fatal(err)
				}
			}
			live, counted := float64(liveHeap()-before), float64(e.Stats().Local.Bytes)
			if ratio := live / (counted * 8 / 9); ratio < 0.85 || ratio > 1.05 {
				t.Errorf("%.0f bytes are live, which is %.2f times what the tier counts without spare room, %.0f", live, ratio, counted*8/9)
			}
		})
	}
}
