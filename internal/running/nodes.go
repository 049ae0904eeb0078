package running

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

const (
	// nodesFor is how long an answer is reused: for a list of nodes, Redis goes through
	// all its connections.
	nodesFor     = 5 * time.Second
	nodesTimeout = 2 * time.Second
)

// nodesCache reuses lists of nodes. Many readers then do not ask the store each time.
type nodesCache struct {
	mu         sync.Mutex
	at         time.Time
	subscribed bool // whether this node was subscribed at the time
	nodes      []redisstore.Node
	count      int
}

// get returns the nodes that the store lists, and their number. Without the right to see
// other connections, the list is empty.
func (c *nodesCache) get(p *redisstore.Partitions, subscribed bool) ([]redisstore.Node, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) > nodesFor || c.subscribed != subscribed {
		ctx, cancel := context.WithTimeout(context.Background(), nodesTimeout)
		defer cancel()
		c.nodes, c.count, _ = p.Nodes(ctx)
		c.at, c.subscribed = time.Now(), subscribed
	}
	nodes := slices.Clone(c.nodes)
	for i := range nodes {
		nodes[i].Connected += time.Since(c.at)
	}
	return nodes, c.count
}
