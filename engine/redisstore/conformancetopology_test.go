package redisstore_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

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
