package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// inMotion opens a store, and writes to it while something happens. Every write that was
// acknowledged must be there afterwards.
func inMotion(t *testing.T, target *Target, happens func()) {
	t.Helper()
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100_000, Eviction: "rank"}}
	s, _ := f.openTarget(target)
	apply := func(key string) error {
		a, err := s.Apply(f.within(2*time.Second), store.Batch{Limits: f.limits, Writes: []store.Write{create(key, key)}})
		if err == nil && a.Results[0].Outcome != store.Created {
			err = fmt.Errorf("outcome %d: %s", a.Results[0].Outcome, a.Results[0].Reason)
		}
		return err
	}
	if err := apply("first"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	acknowledged := []string{"first"}
	var failed []error
	var longest time.Duration
	var writing sync.WaitGroup
	writing.Go(func() {
		last := time.Now()
		for n := 0; ctx.Err() == nil; n++ {
			key := fmt.Sprint("k", n)
			if err := apply(key); err != nil {
				failed = append(failed, err)
				continue
			}
			acknowledged = append(acknowledged, key)
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
	})
	happens()
	stop()
	writing.Wait()
	if err := apply("last"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	lost := 0
	for _, key := range acknowledged {
		got, err := s.Fetch(f.within(patience), []string{key}, store.AnyRoom)
		if err != nil {
			t.Fatal(err)
		}
		if got.Entries[0] == nil {
			lost++
		}
	}
	t.Logf("%d acknowledged, %d lost, %d failed (%v), at most %v without an acknowledgement", len(acknowledged), lost, len(failed), errors.Join(failed...), longest)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(acknowledged))
	}
}

func TestAClusterMayMoveWhileItIsWrittenTo(t *testing.T) {
	const key = "{cache}:state"
	t.Run("a slot moves", func(t *testing.T) {
		c := redistest.StartCluster(t, 3)
		inMotion(t, parse(t, c.URL()), func() { c.MoveSlot(key, (c.Owner(key)+1)%3) })
	})
	t.Run("a replica takes over", func(t *testing.T) {
		c := redistest.StartCluster(t, 3)
		inMotion(t, parse(t, c.URL()), func() { c.Failover(c.Owner(key)) })
	})
}

func TestSentinelsMayFailOverWhileTheServerIsWrittenTo(t *testing.T) {
	g := redistest.StartGuarded(t)
	inMotion(t, parse(t, g.URL()), g.Failover)
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
