package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Node a counts up the values of a few keys. Many readers on node b read them, with and
// without the local tier, while the subscription of b is delayed, closed, and frozen. No
// read may return an older value than an earlier read. Once the subscription is back, no
// read may return an older value than those acknowledged before.
func TestANodeNeverServesAnOldValueAfterANewOneWhateverBecomesOfItsSubscription(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) {
		const keys, readers = 3, 8
		server := redistest.Start(t)
		s := patient() // only events and new subscriptions drop entries
		a, _ := node(t, server, s)
		b, proxy, logs := proxied(t, server, s)

		var acknowledged, served [keys]atomic.Int64
		key := func(k int) string { return fmt.Sprint("k", k) }
		for k := range keys {
			create(t, a, key(k), "0")
			value(t, b, key(k))
		}
		proxy.Rule(jitter(seed, 5*time.Millisecond))
		stop := make(chan struct{})
		var running sync.WaitGroup
		until := func(step func(i int) bool) {
			running.Go(func() {
				for i := 1; ; i++ {
					select {
					case <-stop:
						return
					default:
						if !step(i) {
							return
						}
					}
				}
			})
		}
		for k := range keys {
			until(func(i int) bool {
				put(t, a, key(k), strconv.Itoa(i))
				acknowledged[k].Store(int64(i))
				return true
			})
		}
		for r := range readers {
			until(func(i int) bool {
				k := (r + i) % keys
				least := served[k].Load()
				got := reading(t, b, key(k), i%4 == 0)
				if got < least {
					t.Errorf("%d was served, and then %d", least, got)
				}
				for old := served[k].Load(); old < got && !served[k].CompareAndSwap(old, got); {
					old = served[k].Load()
				}
				return got >= least
			})
		}
		for _, fault := range []func(){proxy.CutSubscriptions, func() {}, proxy.CutSubscriptions, proxy.CutAll} {
			// Nobody reads this key until the subscription is back.
			put(t, a, "quiet", "old")
			eventually(t, "node b has it", func() bool { return value(t, b, "quiet") == "old" })
			// No new subscription starts before Thaw.
			proxy.FreezeSubscriptions()
			fault()
			put(t, a, "quiet", "new")
			before := acknowledged[0].Load()
			eventually(t, "some writes are done meanwhile", func() bool { return acknowledged[0].Load() > before+20 })
			eventually(t, "the end, or the silence, is noticed", func() bool {
				lost, back := subscriptions(logs)
				return lost > back
			})
			least := acknowledged[0].Load()
			proxy.Thaw()
			awaitSubscription(t, logs)
			if got := reading(t, b, key(0), false); got < least {
				t.Errorf("after the subscription came back: %d, and %d was acknowledged before", got, least)
			}
			if got := value(t, b, "quiet"); got != "new" {
				t.Errorf("after the subscription came back, what was written meanwhile is %q", got)
			}
		}
		close(stop)
		running.Wait()
		for k := range keys {
			last := strconv.FormatInt(acknowledged[k].Load(), 10)
			eventually(t, "node b serves the last value", func() bool { return value(t, b, key(k)) == last })
		}
	})
}

// jitter delays one exchange in four, half of them before the server and half after
// it. Exchanges then overtake each other.
func jitter(seed uint64, most time.Duration) func() faultproxy.Fault {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func() faultproxy.Fault {
		mu.Lock()
		defer mu.Unlock()
		delay := time.Duration(random.Int64N(int64(most)))
		switch random.IntN(8) {
		case 0:
			return faultproxy.Fault{Delay: delay}
		case 1:
			hold := make(chan struct{})
			time.AfterFunc(delay, func() { close(hold) })
			return faultproxy.Fault{Hold: hold}
		default:
			return faultproxy.Fault{}
		}
	}
}

// reading gets a number.
func reading(t *testing.T, e *engine.Engine, key string, noCache bool) int64 {
	a, err := e.Get(context.Background(), key, engine.Read{NoCache: noCache})
	if err != nil {
		t.Errorf("reading %s: %v", key, err)
	}
	n, err := strconv.ParseInt(read(a), 10, 64)
	if err != nil {
		t.Errorf("reading %s: %v", key, err)
	}
	return n
}
