package engine_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Moves of a slot and failovers of a Cluster that an operator asks for lose nothing: so the
// calls of three engines stay linearizable.
func TestThreeEnginesOnAClusterAreLinearizable(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) {
		c := redistest.StartCluster(t, 3)
		move := func() { c.MoveSlot(stateKey, c.OtherPrimary(stateKey)) }
		over := func() {
			c.AwaitReplicas()
			c.Failover(c.Owner(stateKey))
		}
		linearOver(t, seed, c.URL(), c.Nodes, move, over, move, over)
	})
}

// A failover by Sentinels may lose writes, so that its calls have no order. Here
// connections end, and one Sentinel does.
func TestThreeEnginesBehindSentinelsAreLinearizable(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) {
		g := redistest.StartGuarded(t)
		cut := func() { g.Primary().Client().Do(context.Background(), "CLIENT", "KILL", "TYPE", "normal") }
		linearOver(t, seed, g.URL(), g.Servers[:1], cut, g.Sentinels[2].Kill, cut)
	})
}

// linearOver checks the calls of engines while one fault after another comes. Events of a
// write come from some server: that which ran the write, if no other.
func linearOver(t *testing.T, seed uint64, url string, servers []*redistest.Server, faults ...func()) {
	clock := stopwatch()
	all := &reports{payloads: map[string]bool{}}
	for _, s := range servers {
		listenInto(t, all, s.Client(), "{cache}:events:0", clock)
	}
	w := newLinearWork(t, seed, clock)
	for i := range w.nodes {
		e, _ := nodeAt(t, url, w.settings)
		w.nodes[i].Store(e)
	}
	var running sync.WaitGroup
	defer running.Wait()
	w.start(&running)
	for i, fault := range faults {
		eventually(t, "a part of the calls is done", func() bool {
			return w.done.Load() >= int64(i+1)*linearCalls/int64(len(faults)+1)
		})
		fault()
	}
	running.Wait()
	last, _ := nodeAt(t, url, patient())
	reads := finalReads(t, last, linearKeys, clock)
	eventually(t, "all events came", func() bool {
		for _, s := range servers {
			if !s.Owns(context.Background(), stateKey) {
				continue
			}
			head := s.Client().HGet(context.Background(), stateKey, "head").Val()
			return len(head) >= 6 && binary.BigEndian.Uint64([]byte("\x00\x00"+head[:6])) == all.lastNumber()
		}
		return false
	})
	for i := range w.nodes {
		w.nodes[i].Load().Close()
	}
	calls := append(w.calls(), reads...)
	all.mu.Lock()
	defer all.mu.Unlock()
	linearizable(t, steps(t, calls, all.list))
	tell(t, calls, all.list)
}
