package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// clusterNode is an engine over the partitions of a cluster.
type clusterNode struct {
	*engine.Engine
	partitions *redisstore.Partitions
}

// place returns the partition of a key.
func (n *clusterNode) place(t *testing.T, key string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	locate, err := n.partitions.Locate(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	return locate(key)
}

func openPartitions(t *testing.T, c *redistest.Cluster, n int, s engine.Settings) *clusterNode {
	t.Helper()
	target, err := redisstore.Parse(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	node := &clusterNode{partitions: redisstore.NewPartitions(redisstore.Config{Target: target, Namespace: "cache", Logger: zap.NewNop()}, n)}
	p := engine.Partitions{Locate: node.partitions.Locate, Keep: node.partitions.Keep, Close: node.partitions.Close}
	for _, st := range node.partitions.Stores() {
		p.Stores = append(p.Stores, st)
	}
	node.Engine = engine.NewPartitioned(p, s, engine.Options{})
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return node
}

// stateKeys returns a key of each partition that the servers have, in their order.
func stateKeys(t *testing.T, c *redistest.Cluster, n int) []string {
	t.Helper()
	keys := make([]string, n)
	eventually(t, "all partitions have entries", func() bool {
		found := 0
		for _, s := range c.Nodes {
			names, _ := s.Client().Keys(context.Background(), "{cache/*}:state").Result()
			for _, name := range names {
				var i int
				if _, err := fmt.Sscanf(name, "{cache/%d.", &i); err == nil && i < n {
					keys[i] = name
				}
			}
		}
		for _, key := range keys {
			if key != "" {
				found++
			}
		}
		return found == n
	})
	return keys
}

// Only the keys on a primary that is killed wait for its replica, unless the cluster is set
// to stop as a whole.
func TestOtherPartitionsGoOnWhileAPrimaryIsAway(t *testing.T) {
	t.Parallel()
	const n = 3
	c := redistest.StartCluster(t, n, "--cluster-require-full-coverage", "no")
	node := openPartitions(t, c, n, patient())
	keys := numbered("k", 60)
	for _, key := range keys {
		create(t, node.Engine, key, "0")
	}
	owners := make(map[int]bool)
	states := stateKeys(t, c, n)
	for _, key := range states {
		owners[c.Owner(key)] = true
	}
	if len(owners) != n {
		t.Fatalf("%d primaries have the %d partitions", len(owners), n)
	}
	c.AwaitReplicas()
	c.Nodes[c.Owner(states[1])].Kill()

	sawAway := false
	short, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for round := 1; ; round++ {
		back := true
		for _, key := range keys {
			ctx, cancel := context.WithTimeout(short, 5*time.Second)
			away := node.place(t, key) == 1
			if away {
				cancel()
				ctx, cancel = context.WithTimeout(short, 50*time.Millisecond)
			}
			_, err := node.Write(ctx, store.Write{Op: store.Put, Key: key, Value: text(fmt.Sprint(round))})
			cancel()
			switch {
			case err != nil && !away:
				t.Fatalf("%s of partition %d: %v", key, node.place(t, key), err)
			case err != nil:
				back = false
			}
		}
		if back && round > 1 {
			break
		}
		if !sawAway {
			health := node.Probe(t.Context())
			sawAway = health.Writes != nil && strings.HasPrefix(health.Writes.Error(), "partition 1: ")
		}
		if short.Err() != nil {
			t.Fatal("the replica did not take over")
		}
	}
	if !sawAway {
		t.Error("the probe never named the partition")
	}
	if health := node.Probe(t.Context()); health != (store.Health{}) {
		t.Errorf("%+v", health)
	}
}

// Failovers that an operator asks for, and moves of slots, lose nothing in any partition,
// and no node ever goes back to an older value.
func TestPartitionsMoveAndLoseNothing(t *testing.T) {
	t.Parallel()
	const n, engines = 3, 3
	c := redistest.StartCluster(t, n)
	s := settings()
	s.Limits.MaxKeys = 1_000_000
	var nodes [engines]*clusterNode
	for i := range nodes {
		nodes[i] = openPartitions(t, c, n, s)
	}
	for _, key := range numbered("k", 30) {
		create(t, nodes[0].Engine, key, "0")
	}
	states := stateKeys(t, c, n)

	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	var created [engines][]string
	var acknowledged [engines]atomic.Int64
	counter := func(i int) string { return fmt.Sprint("counter", i) }
	for i, node := range nodes {
		working.Go(func() { // creates, and counts
			for k := 0; ctx.Err() == nil; k++ {
				key := fmt.Sprintf("new/%d/%d", i, k)
				if r, err := node.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text("v")}); err == nil && r.Outcome == store.Created {
					created[i] = append(created[i], key)
				}
				if _, err := node.Write(context.Background(), store.Write{Op: store.Put, Key: counter(i), Value: text(fmt.Sprint(k))}); err == nil {
					acknowledged[i].Store(int64(k))
				}
			}
		})
		working.Go(func() { // reads what the next node counts
			last := -1
			for ctx.Err() == nil {
				a, err := node.Get(context.Background(), counter((i+1)%engines), engine.Read{})
				if err != nil || a.Entry == nil {
					continue
				}
				var now int
				if _, err := fmt.Sscan(string(a.Entry.Data), &now); err != nil || now < last {
					t.Errorf("node %d read %q after %d", i, a.Entry.Data, last)
				}
				last = now
			}
		})
	}
	for i, key := range states {
		progress := func(what string) {
			for j := range nodes {
				before := acknowledged[j].Load()
				eventually(t, what, func() bool { return acknowledged[j].Load() > before+5 })
			}
		}
		c.AwaitReplicas()
		c.Failover(c.Owner(key))
		progress("all nodes write after a failover")
		owner := c.Owner(key)
		to := c.Owner(states[(i+1)%n])
		if to != owner {
			c.MoveSlot(key, to)
		}
		progress("all nodes write after a move of a slot")
	}
	stop()
	working.Wait()
	total := 0
	for i := range created {
		total += len(created[i])
		for _, key := range created[i] {
			a, err := nodes[(i+1)%engines].Get(context.Background(), key, engine.Read{NoCache: true})
			if err != nil || a.Entry == nil {
				t.Errorf("%s is lost: %v", key, err)
			}
		}
		for _, node := range nodes {
			eventually(t, "all nodes agree", func() bool {
				a, err := node.Get(context.Background(), counter(i), engine.Read{})
				if errors.Is(err, engine.ErrUnavailable) || a.Entry == nil {
					return false
				}
				var got int64
				_, _ = fmt.Sscan(string(a.Entry.Data), &got)
				return got >= acknowledged[i].Load()
			})
		}
	}
	if total == 0 {
		t.Error("nothing was created")
	}
	t.Logf("%d acknowledged creations in %d failovers and moves of slots", total, 2*n)
}
