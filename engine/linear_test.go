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

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestThreeEnginesUnderFaultsAreLinearizable(t *testing.T) {
	t.Parallel()
	rounds(t, linearRound)
}

func linearRound(t *testing.T, seed uint64) {
	const engines, clients, callsEach, keys, capacity = 3, 12, 120, 4, 2
	server := redistest.Start(t)
	clock := stopwatch()
	reported := listen(t, server.Client(), "{cache}:events:0", clock)

	s := settings()
	s.Limits.MaxKeys = capacity
	s.Timeout = 400 * time.Millisecond // a first try has half of it
	var proxies []*faultproxy.Proxy
	var nodes [engines]atomic.Pointer[engine.Engine]
	openNode := func(i int) {
		e, _ := nodeAt(t, proxies[i].URL(), s)
		nodes[i].Store(e)
	}
	for i := range engines {
		p := faultproxy.Start(t, server.Addr)
		p.Rule(faultproxy.Random(seed+uint64(i), 10, s.Timeout))
		proxies = append(proxies, p)
		openNode(i)
	}

	histories := make([][]*call, clients)
	var done, unknown atomic.Int64
	var running sync.WaitGroup
	defer running.Wait()
	for c := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(c)))
		seen := map[string]store.Version{}
		running.Go(func() {
			for i := range callsEach {
				e := nodes[random.IntN(engines)].Load()
				one := &call{client: c, key: fmt.Sprint("k", random.IntN(keys)), value: fmt.Sprintf("%d.%d", c, i)}
				one.op = []store.Op{0, 0, 0, store.Create, store.Create, store.Put, store.Put, store.Put, store.Delete}[random.IntN(9)]
				if one.op == store.Put || one.op == store.Delete {
					// Half of them on condition, with the version seen last.
					if random.IntN(2) == 0 {
						one.match = seen[one.key]
					}
				}
				if one.carryOut(t, e, clock) {
					histories[c] = append(histories[c], one)
				}
				switch {
				case one.found != nil:
					seen[one.key] = one.found.Version
				case one.result.Version.Number != 0 && one.op != store.Delete:
					seen[one.key] = one.result.Version
				}
				if one.unknown {
					unknown.Add(1)
				}
				done.Add(1)
			}
		})
	}
	// At first, no engine gets the events of the others. In the middle, one engine is
	// closed and opened again, another one is cut off for longer than its timeout, and
	// Redis hangs for as long.
	part := func(n int64) {
		eventually(t, fmt.Sprintf("%d/4 of the calls are done", n), func() bool { return done.Load() >= n*clients*callsEach/4 })
	}
	someUnknown := func() {
		before := unknown.Load()
		eventually(t, "a write of unknown fate", func() bool {
			return unknown.Load() > before || done.Load() == clients*callsEach
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
	for i := range engines {
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
	var calls []*call
	for _, h := range histories {
		calls = append(calls, h...)
	}
	reported.mu.Lock()
	defer reported.mu.Unlock()
	last, _ := node(t, server, patient())
	calls = append(calls, finalReads(t, last, keys, clock)...)
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
		c.result, err = e.Create(ctx, c.key, text(c.value), "", "")
	case store.Put:
		c.result, err = e.Put(ctx, c.key, text(c.value), match, "")
	case store.Delete:
		c.result, err = e.Delete(ctx, c.key, match, "")
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
		case c.unknown:
			count["unknown"]++
		case c.op == 0:
			count["reads"]++
		default:
			count[fmt.Sprint("outcome ", c.result.Outcome)]++
		}
	}
	for _, h := range reported {
		if h.what == "evicted" {
			count["evicted"]++
		}
	}
	t.Logf("%d calls: %v", len(calls), count)
	if count["evicted"] == 0 || count["reads"] == 0 {
		t.Error("nothing was read, or evicted")
	}
}
