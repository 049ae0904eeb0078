package redisstore_test

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

func TestConformanceBehindSentinels(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	addFIFO(t)
	g := redistest.StartGuarded(t)
	runParts(t, namespacesAt(t, g.URL(), g.Primary().Client()))
}

func TestConformanceOnACluster(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	addFIFO(t)
	c := redistest.StartCluster(t, 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
	t.Cleanup(func() { client.Close() })
	runParts(t, namespacesAt(t, c.URL(), client))
}

// The model runs on a cluster in motion: while calls run, their slot moves to another
// primary, or a replica takes over. Both lose nothing, so all must be as if nothing had
// happened.
func TestModelOnAClusterInMotion(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	addFIFO(t)
	c := redistest.StartCluster(t, 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
	t.Cleanup(func() { client.Close() })
	open := namespacesAt(t, c.URL(), client)
	m := &moving{Cluster: c, every: 500}
	defer m.running.Wait()
	model := storetest.RunSwitchingModel
	if os.Getenv("SOAK") != "" {
		model, m.every = storetest.RunModel, 100
	}
	model(t, func(t *testing.T) storetest.Harness {
		m.running.Wait()
		h, namespace := open(t)
		inspect, kept := h.Inspect, h.Kept
		h.Store = &movingStore{h.Store, m, "{" + namespace + "}:state"}
		h.Inspect = func() ([]storetest.Ranked, error) {
			m.running.Wait()
			return inspect()
		}
		h.Kept = func() (storetest.Kept, error) {
			m.running.Wait()
			return kept()
		}
		return h
	})
	t.Logf("%d moves, during which %d calls began", m.moves, m.during)
	if m.moves == 0 || m.during == 0 {
		t.Error("nothing moved")
	}
}

// moving is a cluster that moves during some calls. The calls come one after another.
type moving struct {
	*redistest.Cluster
	every                int // number of calls from one move to the next
	calls, moves, during int
	running              sync.WaitGroup
	runs                 atomic.Bool // a move
}

// called begins to move the slot of key, every now and then. What looks at several servers
// waits for the end.
func (m *moving) called(key string) {
	if m.runs.Load() {
		m.during++
	}
	if m.calls++; m.calls%m.every != 0 || m.runs.Load() {
		return
	}
	m.moves++
	byFailover := m.moves%2 == 0
	m.runs.Store(true)
	m.running.Go(func() {
		defer m.runs.Store(false)
		m.AwaitReplicas()
		if byFailover {
			m.Failover(m.Owner(key))
			m.AwaitOwner(key, m.Owner(key))
		} else {
			m.MoveSlot(key, m.OtherPrimary(key))
		}
	})
}

// movingStore is a store whose slot moves.
type movingStore struct {
	store.Store
	*moving
	key string
}

func (s *movingStore) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	s.called(s.key)
	return s.Store.Apply(ctx, b)
}

func (s *movingStore) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	s.called(s.key)
	return s.Store.Fetch(ctx, keys, room, uses...)
}

// runParts runs the suite and the model: whole for make soak, else what takes seconds.
func runParts(t *testing.T, open func(t *testing.T) (storetest.Harness, string)) {
	suite, model := storetest.RunShort, storetest.RunSwitchingModel
	if os.Getenv("SOAK") != "" {
		suite, model = storetest.Run, storetest.RunModel
	}
	alone := func(t *testing.T) storetest.Harness {
		h, _ := open(t)
		return h
	}
	t.Run("suite", func(t *testing.T) { suite(t, alone) })
	t.Run("model", func(t *testing.T) { model(t, alone) })
}
