package redisstore_test

import (
	"os"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

// parts returns the suite and the model: whole for make soak, else what takes seconds.
func parts() (suite, model func(*testing.T, func(*testing.T) storetest.Harness)) {
	if soaking() {
		return storetest.Run, storetest.RunModel
	}
	return storetest.RunShort, storetest.RunSwitchingModel
}

func soaking() bool { return os.Getenv("SOAK") != "" }

func TestConformanceBehindSentinels(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	addFIFO(t)
	g := redistest.StartGuarded(t)
	open := namespacesAt(t, g.URL(), g.Primary().Client())
	suite, model := parts()
	for name, part := range map[string]func(*testing.T, func(*testing.T) storetest.Harness){"suite": suite, "model": model} {
		t.Run(name, func(t *testing.T) {
			part(t, func(t *testing.T) storetest.Harness {
				h, _ := open(t)
				return h
			})
		})
	}
}

func TestConformanceOnACluster(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	addFIFO(t)
	c := redistest.StartCluster(t, 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[0].Addr}})
	t.Cleanup(func() { client.Close() })
	open := namespacesAt(t, c.URL(), client)
	suite, model := parts()
	t.Run("suite", func(t *testing.T) {
		suite(t, func(t *testing.T) storetest.Harness {
			h, _ := open(t)
			return h
		})
	})
	t.Run("model, while slots move", func(t *testing.T) {
		m := &mover{cluster: c, between: 200}
		if soaking() {
			m.between = 20
		}
		t.Cleanup(m.moves.Wait)
		model(t, func(t *testing.T) storetest.Harness {
			h, namespace := open(t)
			return m.moving(h, "{"+namespace+"}:state")
		})
	})
}

// mover moves the slot of a namespace after some looks into it. The next calls of a test
// then come while the slot moves. A look waits for the end of the move.
type mover struct {
	cluster        *redistest.Cluster
	looks, between int
	moves          sync.WaitGroup
}

func (m *mover) moving(h storetest.Harness, key string) storetest.Harness {
	looked := func() {
		if m.looks++; m.looks%m.between == 0 {
			to := (m.cluster.Owner(key) + 1) % 3
			m.moves.Go(func() { m.cluster.MoveSlot(key, to) })
		}
	}
	inspect, kept := h.Inspect, h.Kept
	h.Inspect = func() ([]storetest.Ranked, error) {
		m.moves.Wait()
		return inspect()
	}
	h.Kept = func() (storetest.Kept, error) {
		m.moves.Wait()
		defer looked()
		return kept()
	}
	return h
}
