package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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
