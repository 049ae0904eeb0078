package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// slots is the number of slots of every Redis Cluster.
const slots = 16384

// Cluster is a Redis Cluster that only the test uses. The first half of its nodes were
// primaries at the start, and node i+n/2 the replica of node i.
type Cluster struct {
	Nodes []*Server

	t      testing.TB
	ids    []string // of the nodes
	moving sync.Mutex
}

// StartCluster starts a cluster of n primaries, each with a replica. It ends with the test.
func StartCluster(t testing.TB, n int, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	args = append([]string{
		"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
		"--repl-diskless-sync-delay", "0", "--cluster-config-file", "nodes.conf",
	}, args...)
	for range 2 * n {
		c.Nodes = append(c.Nodes, Start(t, args...))
	}
	for i, s := range c.Nodes {
		c.ids = append(c.ids, c.do(s, "CLUSTER", "MYID").(string))
		c.do(s, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for i, s := range c.Nodes[:n] {
		add := []any{"CLUSTER", "ADDSLOTS"}
		for slot := i * slots / n; slot < (i+1)*slots/n; slot++ {
			add = append(add, slot)
		}
		c.do(s, add...)
	}
	for _, s := range c.Nodes[1:] {
		host, port, _ := net.SplitHostPort(s.Addr)
		c.do(c.Nodes[0], "CLUSTER", "MEET", host, port)
	}
	c.Await("all nodes know all", func() bool {
		for _, s := range c.Nodes {
			if info := c.info(s); !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", 2*n)) {
				return false
			}
		}
		return true
	})
	for i, s := range c.Nodes[n:] {
		c.do(s, "CLUSTER", "REPLICATE", c.ids[i])
	}
	c.AwaitReplicas()
	return c
}

// URL returns the addresses of the first two nodes as a value of the setting store.
func (c *Cluster) URL() string {
	scheme := "redis"
	if c.Nodes[0].hasTLS() {
		scheme = "rediss"
	}
	return scheme + "+cluster://" + c.Nodes[0].Addr + "," + c.Nodes[1].Addr
}

// Owner returns the place in Nodes of the primary that has the slot of key.
func (c *Cluster) Owner(key string) int {
	c.t.Helper()
	var owner int
	c.Await("a primary has the slot of "+key, func() bool {
		for i, s := range c.Nodes {
			if s.Owns(context.Background(), key) {
				owner = i
				return true
			}
		}
		return false
	})
	return owner
}

// OtherPrimary returns the place in Nodes of a primary that has not the slot of key.
func (c *Cluster) OtherPrimary(key string) int {
	c.t.Helper()
	owner := c.Owner(key)
	for i, s := range c.Nodes {
		if role, err := s.controller().Do(context.Background(), "ROLE").Slice(); i != owner && err == nil && role[0] == "master" {
			return i
		}
	}
	c.t.Fatal("there is no other primary")
	return -1
}

// Failover makes the replica of node i its primary, as for maintenance.
func (c *Cluster) Failover(i int) {
	c.t.Helper()
	id := c.ids[i]
	for j, s := range c.Nodes {
		if j != i && strings.Contains(c.lineOf(s, "myself"), "slave "+id) {
			var asked time.Time
			c.Await("the replica is the primary", func() bool {
				if time.Since(asked) > 6*time.Second { // it gives up after five
					asked = time.Now()
					_ = s.controller().Do(context.Background(), "CLUSTER", "FAILOVER").Err()
				}
				return strings.Contains(c.lineOf(s, "myself"), "master") && strings.Contains(c.lineOf(c.Nodes[i], "myself"), "slave")
			})
			return
		}
	}
	c.t.Fatalf("node %d has no replica", i)
}

// MoveSlot moves the slot of key from its owner to another primary, key by key. One slot
// moves at a time, as with redis-cli: a node that gives one slot away and gets another may
// otherwise claim the first again.
func (c *Cluster) MoveSlot(key string, to int) {
	c.t.Helper()
	c.moving.Lock()
	defer c.moving.Unlock()
	from := c.Owner(key)
	slot := c.do(c.Nodes[0], "CLUSTER", "KEYSLOT", key)
	c.do(c.Nodes[to], "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	c.do(c.Nodes[from], "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	host, port, _ := net.SplitHostPort(c.Nodes[to].Addr)
	for {
		keys := c.do(c.Nodes[from], "CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		c.do(c.Nodes[from], append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	c.do(c.Nodes[to], "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	c.do(c.Nodes[from], "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	c.AwaitOwner(key, to)
}

// AwaitOwner waits until every node knows that node i has the slot of key.
func (c *Cluster) AwaitOwner(key string, i int) {
	c.t.Helper()
	slot := c.do(c.Nodes[i], "CLUSTER", "KEYSLOT", key).(int64)
	c.Await("all nodes know the owner of the slot", func() bool {
		for _, s := range c.Nodes {
			if c.ownerBy(s, slot) != c.Nodes[i].Addr {
				return false
			}
		}
		return true
	})
}

// ownerBy returns the address of the primary that has the slot, as s knows it.
func (c *Cluster) ownerBy(s *Server, slot int64) string {
	//lint:ignore SA1019 CLUSTER SHARDS needs Redis 7.0.
	ranges, _ := s.controller().ClusterSlots(context.Background()).Result()
	for _, r := range ranges {
		if int64(r.Start) <= slot && slot <= int64(r.End) && len(r.Nodes) > 0 {
			return r.Nodes[0].Addr
		}
	}
	return ""
}

// AwaitReplicas waits until every primary has a replica that follows it.
func (c *Cluster) AwaitReplicas() {
	c.t.Helper()
	c.Await("every primary has a replica", func() bool {
		for _, s := range c.Nodes {
			role, err := s.controller().Do(context.Background(), "ROLE").Slice()
			if err != nil {
				return false
			}
			if role[0] == "master" {
				if replicas, _ := role[2].([]any); len(replicas) == 0 {
					return false
				}
			} else if len(role) > 3 && role[3] != "connected" {
				return false
			}
			for _, line := range strings.Split(c.nodes(s), "\n") {
				if strings.Contains(line, "fail") || strings.Contains(line, "handshake") {
					return false
				}
			}
			if strings.Count(c.nodes(s), "slave") != len(c.Nodes)/2 {
				return false
			}
		}
		return true
	})
}

// Await waits until is returns true.
func (c *Cluster) Await(what string, is func() bool) {
	c.t.Helper()
	await(c.t, what, is)
}

func (c *Cluster) do(s *Server, args ...any) any {
	c.t.Helper()
	v, err := s.controller().Do(context.Background(), args...).Result()
	if err != nil {
		c.t.Fatalf("%.60s: %v", fmt.Sprint(args...), err)
	}
	return v
}

func (c *Cluster) info(s *Server) string {
	info, _ := s.controller().ClusterInfo(context.Background()).Result()
	return info
}

func (c *Cluster) nodes(s *Server) string {
	nodes, _ := s.controller().ClusterNodes(context.Background()).Result()
	return nodes
}

// lineOf returns the line about a node in what s knows of all nodes.
func (c *Cluster) lineOf(s *Server, part string) string {
	for _, line := range strings.Split(c.nodes(s), "\n") {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// await waits until is returns true, and fails the test if that takes too long.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
