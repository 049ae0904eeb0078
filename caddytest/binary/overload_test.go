package binary

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const mebi = 1 << 20

// overloadMemory bounds the memory of caddy while 100 clients send 1 MiB each and
// max_queue_bytes is 8 MiB. An idle caddy takes 15 MiB, and 100 connections with their
// requests about 10. A value takes up to twice its size while a buffer grows, and once more
// on its way to Redis. The sum counts twice, since Go lets garbage grow to the size of the
// live heap.
const overloadMemory = 2 * (15 + 10 + 3*8) * mebi

func TestOverloadIsRefusedAndAcceptedWritesAreStored(t *testing.T) {
	const clients = 100
	for _, tt := range []struct {
		name     string
		settings string
		size     int
		maxKeys  int
		times    int64 // the load, as a multiple of the writes that the worker takes
		lasts    time.Duration
		// A server that answers before it has read the whole body closes the
		// connection, and a client that still sends may not see the answer.
		answersGetLost bool
	}{
		{"many small writes", "max_queue_jobs 20", 300, cannotEvict, 5, usually(3*time.Second, 30*time.Second), false},
		// All clients have one address, and so a quarter of the room for bodies. The others
		// wait unread, for at most body_timeout.
		{"bodies of 1 MiB", "max_queue_bytes 8MiB\nmax_value_size 1200KiB\nbody_timeout 2s", mebi, evicts, 2, usually(3*time.Second, 30*time.Second), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			redis := redistest.Start(t)
			c := startCaddy(t, redis, "", fmt.Sprintf("methods GET HEAD POST PUT DELETE\nmax_keys %d\n%s", tt.maxKeys, tt.settings))
			idle := c.memory()
			l := newLoad(t, c, clients, newSeed(t), tt.maxKeys == evicts)
			for _, w := range l.writers {
				w.size = tt.size
			}
			memory := c.watchMemory()
			stop := l.start(t)
			l.overload(t, redis, tt.times, tt.lasts)
			stop()
			peak := memory()

			t.Logf("%d answered, %d refused, %d without an answer; memory %d MiB idle, %d MiB at most",
				l.answered.Load(), l.full.Load(), l.cut.Load(), idle/mebi, peak/mebi)
			if n := l.refused.Load() + l.unknown.Load(); n > 0 {
				t.Errorf("%d requests were answered 503 for another reason than a full queue", n)
			}
			if n := l.cut.Load(); n > 0 && !tt.answersGetLost {
				t.Errorf("%d requests got no answer", n)
			}
			if peak > overloadMemory {
				t.Errorf("caddy took %d MiB, want at most %d", peak/mebi, overloadMemory/mebi)
			}
			inspector := newInspector(t, redis)
			inspector.settle()
			l.check(t, inspector.look())
		})
	}
}

// overload pauses Redis again and again until enough requests were refused. So the load is
// the wanted multiple of the worker's rate on a machine of any speed.
func (l *load) overload(t testing.TB, redis *redistest.Server, times int64, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		redis.Pause()
		await(t, "writes are refused", func() bool {
			return l.full.Load() > (times-1)*l.answered.Load()
		})
		redis.Resume()
		l.awaitAnswered(t, 1)
	}
}

// watchMemory reads the memory of caddy repeatedly. The returned function stops this, and
// returns the largest value.
func (c *caddy) watchMemory() func() int64 {
	var peak int64
	stop := background(c.t, func(stop <-chan struct{}) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, c.memory())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 {
		stop()
		return peak
	}
}

// memory returns the bytes that caddy's Go runtime has from the system: live and garbage,
// heap and stacks.
func (c *caddy) memory() int64 {
	var vars struct {
		Memstats struct{ Sys, HeapReleased int64 }
	}
	if err := json.Unmarshal([]byte(get(c.admin, "http://127.0.0.1/debug/vars")), &vars); err != nil {
		c.t.Errorf("reading the memory statistics: %v", err)
	}
	return vars.Memstats.Sys - vars.Memstats.HeapReleased
}
