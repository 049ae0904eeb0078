package running

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

const (
	// nodesFor is for how long it is told without asking again which nodes
	// subscribe: Redis goes through all its connections for that.
	nodesFor     = 5 * time.Second
	nodesTimeout = 2 * time.Second
)

// nodesCache bounds how often a store is asked for its nodes, however many look.
type nodesCache struct {
	mu         sync.Mutex
	at         time.Time
	subscribed bool // this node, when it asked: it is then one of them
	nodes      []redisstore.Node
	count      int
}

// get returns the nodes that the store tells of, and how many there are. A user
// of Redis without the right to see the others gets none.
func (c *nodesCache) get(s *redisstore.Store, subscribed bool) ([]redisstore.Node, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) > nodesFor || c.subscribed != subscribed {
		ctx, cancel := context.WithTimeout(context.Background(), nodesTimeout)
		defer cancel()
		c.nodes, c.count, _ = s.Nodes(ctx)
		c.at, c.subscribed = time.Now(), subscribed
	}
	nodes := slices.Clone(c.nodes)
	for i := range nodes {
		nodes[i].Connected += time.Since(c.at)
	}
	return nodes, c.count
}
