package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestThreeEnginesUnderFaultsAreLinearizable(t *testing.T) {
	t.Parallel()
	rounds(t, linearRound)
}

// The size of a round: capacity makes some keys be evicted.
const (
	linearEngines, linearClients, linearCallsEach, linearKeys, linearCapacity = 3, 12, 120, 4, 2

	linearCalls = linearClients * linearCallsEach
)

// linearLife is the life of entries that expire. It passes only if the clock of the store is
// moved on by so much.
const linearLife = time.Hour

// linearWork is random calls of several clients to several engines.
type linearWork struct {
	t        *testing.T
	seed     uint64
	clock    func() int64
	settings engine.Settings

	// advance, if set, moves the store's clock on by a life, in one step.
	advance func() error

	nodes         [linearEngines]atomic.Pointer[engine.Engine]
	histories     [linearClients][]*call
	done, unknown atomic.Int64
}

func newLinearWork(t *testing.T, seed uint64, clock func() int64) *linearWork {
	w := &linearWork{t: t, seed: seed, clock: clock, settings: settings()}
	w.settings.Limits.MaxKeys = linearCapacity
	w.settings.Timeout = 400 * time.Millisecond // a first try has half of it
	return w
}

// start starts the clients.
func (w *linearWork) start(running *sync.WaitGroup) {
	for c := range linearClients {
		random := rand.New(rand.NewPCG(w.seed, uint64(c)))
		seen := map[string]store.Version{}
		running.Go(func() {
			for i := range linearCallsEach {
				e := w.nodes[random.IntN(linearEngines)].Load()
				one := &call{client: c, key: fmt.Sprint("k", random.IntN(linearKeys)), value: fmt.Sprintf("%d.%d", c, i)}
				one.op = []store.Op{0, 0, 0, store.Create, store.Create, store.Put, store.Put, store.Put, store.Delete}[random.IntN(9)]
				if (one.op == store.Create || one.op == store.Put) && random.IntN(2) == 0 {
					one.ttl = linearLife
				}
				if w.advance != nil && random.IntN(20) == 0 {
					one = &call{client: c, advances: true, from: w.clock()}
					if err := w.advance(); err != nil {
						w.t.Errorf("moving the store's clock: %v", err)
					}
					one.to = w.clock()
					w.histories[c] = append(w.histories[c], one)
					w.done.Add(1)
					continue
				}
				if one.op == store.Put || one.op == store.Delete {
					// Half of them on condition, with the version seen last.
					if random.IntN(2) == 0 {
						one.match = seen[one.key]
					}
				}
				if one.carryOut(w.t, e, w.clock) {
					w.histories[c] = append(w.histories[c], one)
				}
				switch {
				case one.found != nil:
					seen[one.key] = one.found.Version
				case one.result.Version.Number != 0 && one.op != store.Delete:
					seen[one.key] = one.result.Version
				}
				if one.unknown {
					w.unknown.Add(1)
				}
				w.done.Add(1)
			}
		})
	}
}

// calls returns all calls of the clients, which have ended.
func (w *linearWork) calls() []*call {
	var calls []*call
	for _, h := range w.histories {
		calls = append(calls, h...)
	}
	return calls
}

func linearRound(t *testing.T, seed uint64) {
	server := redistest.Start(t)
	clock := stopwatch()
	reported := listen(t, server.Client(), "{cache}:events:0", clock)

	w := newLinearWork(t, seed, clock)
	// It must not run twice, and Redis hangs in between.
	once := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, ReadTimeout: patience})
	t.Cleanup(func() { once.Close() })
	w.advance = func() error {
		return advanceStore.Eval(context.Background(), once, []string{stateKey}, linearLife.Milliseconds()).Err()
	}
	nodes := &w.nodes
	var proxies []*faultproxy.Proxy
	openNode := func(i int) {
		e, _ := nodeAt(t, proxies[i].URL(), w.settings)
		nodes[i].Store(e)
	}
	for i := range linearEngines {
		p := faultproxy.Start(t, server.Addr)
		p.Rule(faultproxy.Random(seed+uint64(i), 10, w.settings.Timeout))
		proxies = append(proxies, p)
		openNode(i)
	}
	var running sync.WaitGroup
	defer running.Wait()
	w.start(&running)
	// At first, no engine gets the events of the others. In the middle, one engine is
	// closed and opened again, another one is cut off for longer than its timeout, and
	// Redis hangs for as long.
	part := func(n int64) {
		eventually(t, fmt.Sprintf("%d/4 of the calls are done", n), func() bool { return w.done.Load() >= n*linearCalls/4 })
	}
	someUnknown := func() {
		before := w.unknown.Load()
		eventually(t, "a write of unknown fate", func() bool {
			return w.unknown.Load() > before || w.done.Load() == linearCalls
		})
	}
	for _, p := range proxies {
		p.FreezeSubscriptions()
	}
	part(1)
	proxies[1].CutSubscriptions()
	if err := nodes[0].Load().Close(); err != nil {
		t.Error(err)
	}
	openNode(0)
	part(2)
	for _, p := range proxies {
		p.Thaw()
	}
	proxies[2].Freeze()
	someUnknown()
	proxies[2].Thaw()
	part(3)
	server.Pause()
	someUnknown()
	server.Resume()
	running.Wait()

	// Nothing more can reach Redis, and every report has come.
	for i := range linearEngines {
		nodes[i].Load().Close()
		proxies[i].Close()
	}
	client, ctx := server.Client(), context.Background()
	eventually(t, "all events came", func() bool {
		head := client.HGet(ctx, "{cache}:state", "head").Val()
		if len(head) < 6 {
			return false
		}
		number := binary.BigEndian.Uint64([]byte("\x00\x00" + head[:6]))
		return number == reported.lastNumber()
	})
	calls := w.calls()
	reported.mu.Lock()
	defer reported.mu.Unlock()
	last, _ := node(t, server, patient())
	calls = append(calls, finalReads(t, last, linearKeys, clock)...)
	history := steps(t, calls, reported.list)
	linearizable(t, history)
	tell(t, calls, reported.list)
}

// carryOut calls e, and reports whether the call belongs to the history. A call that
// failed and changed nothing does not.
func (c *call) carryOut(t *testing.T, e *engine.Engine, clock func() int64) bool {
	ctx := context.Background()
	var match store.VersionSet
	if c.match.Number != 0 {
		match = store.NewVersionSet(c.match.String())
	}
	var err error
	c.from = clock()
	switch c.op {
	case store.Create:
		c.result, err = e.Write(ctx, store.Write{Op: store.Create, Key: c.key, Value: text(c.value), TTL: c.ttl})
	case store.Put:
		c.result, err = e.Write(ctx, store.Write{Op: store.Put, Key: c.key, Value: text(c.value), IfMatch: match, TTL: c.ttl})
	case store.Delete:
		c.result, err = e.Write(ctx, store.Write{Op: store.Delete, Key: c.key, IfMatch: match})
	default:
		var a engine.Answer
		if a, err = e.Get(ctx, c.key, engine.Read{NoCache: true}); a.Entry != nil {
			c.found = &a.Entry.Entry
		}
	}
	c.to = clock()
	c.unknown = errors.Is(err, engine.ErrMayBeApplied)
	switch {
	case err == nil || c.unknown:
		return true
	case errors.Is(err, engine.ErrTimeout), errors.Is(err, engine.ErrUnavailable), errors.Is(err, engine.ErrClosed):
		return false
	}
	t.Errorf("%c %s: %v", max(c.op, '-'), c.key, err)
	return false
}

// finalReads reads each key at the end.
func finalReads(t *testing.T, e *engine.Engine, keys int, clock func() int64) []*call {
	t.Helper()
	var calls []*call
	for k := range keys {
		c := &call{client: -1, key: fmt.Sprint("k", k)}
		if !c.carryOut(t, e, clock) {
			t.Errorf("no final read of %s", c.key)
		}
		calls = append(calls, c)
	}
	return calls
}

// tell logs the numbers of a round's calls, and fails a round that tested nothing.
func tell(t *testing.T, calls []*call, reported []happening) {
	t.Helper()
	count := map[string]int{}
	for _, c := range calls {
		switch {
		case c.advances:
			count["advances"]++
		case c.unknown:
			count["unknown"]++
		case c.op == 0:
			count["reads"]++
		default:
			count[fmt.Sprint("outcome ", c.result.Outcome)]++
		}
	}
	for _, h := range reported {
		if h.what == "evicted" || h.what == "expired" {
			count[h.what]++
		}
	}
	t.Logf("%d calls: %v", len(calls), count)
	if count["evicted"] == 0 || count["reads"] == 0 {
		t.Error("nothing was read, or evicted")
	}
	if count["advances"] > 0 && count["expired"] == 0 {
		t.Error("nothing expired")
	}
}
