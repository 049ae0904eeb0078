package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// inMotion watches a store and writes to it, while happens makes another server the primary
// again and again, and returns its address. Each primary must acknowledge writes, and every
// acknowledged write must be there at the end.
func inMotion(t *testing.T, target *Target, d store.Durability, happens func() (addr string)) {
	t.Helper()
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100_000, Eviction: "rank"}}
	s, _ := f.openTarget(target)
	apply := func(key string) error {
		a, err := s.Apply(f.within(2*time.Second), store.Batch{Limits: f.limits, Writes: []store.Write{create(key, key)}, Durability: d})
		switch {
		case err != nil:
			return err
		case a.Results[0].Outcome != store.Created:
			return fmt.Errorf("outcome %d: %s", a.Results[0].Outcome, a.Results[0].Reason)
		}
		return a.NotDurable
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { s.Watch(ctx, ignored{}) })
	var mu sync.Mutex
	var acknowledged []string
	failed := map[string]int{}
	running.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			key := fmt.Sprint("k", n)
			err := apply(key)
			mu.Lock()
			if err == nil {
				acknowledged = append(acknowledged, key)
			} else {
				failed[fmt.Sprintf("%.60s", err)]++
			}
			mu.Unlock()
		}
	})
	more := func() {
		t.Helper()
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged)
		}
		before := count()
		eventually(t, "20 more writes are acknowledged", func() bool { return count() >= before+20 })
	}
	more()
	for range 2 {
		addr := happens()
		eventually(t, "the store has followed", func() bool {
			p, err := s.current(f.ctx())
			return err == nil && p.addr == addr
		})
		more()
	}
	stop()
	running.Wait()
	var lost []string
	for some := range slices.Chunk(acknowledged, 500) {
		got, err := s.Fetch(f.within(patience), some, store.AnyRoom)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range got.Entries {
			if e == nil {
				lost = append(lost, some[i])
			}
		}
	}
	t.Logf("%d acknowledged; failed: %v", len(acknowledged), failed)
	if len(lost) > 0 {
		t.Errorf("%d acknowledged writes are lost: %.200s", len(lost), fmt.Sprint(lost))
	}
}

// ignored is an observer of nothing.
type ignored struct{}

func (ignored) Subscribed()         {}
func (ignored) Alive(time.Time)     {}
func (ignored) Lost(error)          {}
func (ignored) Changed(store.Event) {}

const stateKey = "{cache}:state"

// overTakeovers is inMotion while replicas of a cluster take over.
func overTakeovers(t *testing.T, target *Target, c *redistest.Cluster) {
	t.Helper()
	inMotion(t, target, store.InMemory, func() string {
		c.AwaitReplicas()
		c.Failover(c.Owner(stateKey))
		return c.Nodes[c.Owner(stateKey)].Addr
	})
}

// overFailovers is inMotion while Sentinels fail over. All replicas confirm each write: the
// promoted one may otherwise lack the last writes.
func overFailovers(t *testing.T, target *Target, g *redistest.Guarded) {
	t.Helper()
	inMotion(t, target, 2, func() string {
		old := g.Primary()
		g.Failover()
		g.Follow(old, g.Primary()) // the Sentinels would wait for ten seconds
		g.AwaitReplicas()
		return g.Primary().Addr
	})
}

func TestASlotMayMoveWhileItIsWrittenTo(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	inMotion(t, parse(t, c.URL()), store.InMemory, func() string {
		to := (c.Owner(stateKey) + 1) % 3
		c.MoveSlot(stateKey, to)
		return c.Nodes[to].Addr
	})
}

func TestReplicasOfAClusterMayTakeOverWhileItIsWrittenTo(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	overTakeovers(t, parse(t, c.URL()), c)
}

func TestSentinelsMayFailOverWhileTheServerIsWrittenTo(t *testing.T) {
	g := redistest.StartGuarded(t)
	overFailovers(t, parse(t, g.URL()), g)
}

func TestWritesWaitForTheNewPrimaryOnceSentinelsSayThatThereWillBeOne(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	refused := func() {
		t.Helper()
		_, err := f.store.Apply(f.within(20*time.Millisecond), store.Batch{Limits: f.limits, Writes: []store.Write{put("a", "2")}})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a write: %v", err)
		}
		if got := f.fetch("a").Entries[0]; string(got.Data) != "1" {
			t.Errorf("a read meanwhile: %q", got.Data)
		}
	}
	f.store.hold(f.server.Addr, time.Hour)
	refused()
	f.store.renew("") // another client of the same server, as after some failed tries
	refused()
	f.store.hold(f.server.Addr, 0) // the failover was given up
	f.apply(create("b", "1"))
	f.store.hold(f.server.Addr, time.Hour)
	refused()
	f.store.follow(redistest.Start(t).Addr)
	f.apply(create("c", "1"))
	if f.store.Breaker() != "closed" {
		t.Errorf("the breaker is %s", f.store.Breaker())
	}
}

func TestMessagesOfSentinelsAboutOtherPrimariesAreIgnored(t *testing.T) {
	s := &sentinels{primary: "mymaster"}
	for _, c := range []struct {
		channel, payload string
		isOurs           bool
	}{
		{switchMaster, "mymaster 127.0.0.1 6379 127.0.0.1 6380", true},
		{switchMaster, "other 127.0.0.1 6379 127.0.0.1 6380", false},
		{promoting, "slave 127.0.0.1:6380 127.0.0.1 6380 @ mymaster 127.0.0.1 6379", true},
		{promoting, "slave 127.0.0.1:6380 127.0.0.1 6380 @ other 127.0.0.1 6379", false},
		{aborted, "master mymaster 127.0.0.1 6379", true},
		{aborted, "master other 127.0.0.1 6379", false},
		{promoting, "", false},
	} {
		if got := s.isOurs(&redis.Message{Channel: c.channel, Payload: c.payload}); got != c.isOurs {
			t.Errorf("%s %q: %v", c.channel, c.payload, got)
		}
	}
}

// A call has time to ask one silent node. If each call began with that one, none would
// ever learn where the keys are.
func TestASilentNodeOfAClusterIsPassedOver(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, hosts := range []string{silent.Addr().String() + "," + c.Nodes[0].Addr, c.Nodes[0].Addr + "," + silent.Addr().String()} {
		f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
		s, _ := f.open("redis+cluster://" + hosts)
		c.Await("a write", func() bool {
			_, err := s.Apply(f.within(time.Second), store.Batch{Limits: f.limits, Writes: []store.Write{put("k", "v")}})
			return err == nil
		})
	}
}

// Sentinels and sockets that are closed while a call asks them are no race.
func TestAStoreBehindSentinelsMayBeClosedAtAnyTime(t *testing.T) {
	f := &fixture{T: t}
	for range 20 {
		s, _ := f.open("redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/mymaster")
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() { s.Probe(f.within(10*time.Millisecond), 0) })
		}
		_ = s.Close()
		asking.Wait()
	}
}
