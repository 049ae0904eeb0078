package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterNodes are the nodes of a Redis Cluster. The primary of a namespace is the one with the
// slot of its keys. (go-redis's ClusterClient sends a write again whose fate is unknown,
// and follows no MOVED if it may not.)
type clusterNodes struct {
	target *Target
	life   context.Context
	key    string // a key of the namespace

	mu    sync.Mutex
	known []string // addresses that a node named, and those of the URL
	turn  int      // place in known of the node to ask next
	// The primary at heardAt answered a question of the time heard, and no later one.
	heardAt string
	heard   time.Time
}

// silentFor is the time without an answer of a primary after which its next answer is not
// believed alone. Another server takes over only after cluster-node-timeout, and an election.
const silentFor = time.Second

func newClusterNodes(life context.Context, t *Target, keys keyspace) *clusterNodes {
	return &clusterNodes{target: t, life: life, key: keys.prefix() + "state", known: t.hosts}
}

// find asks one known node after the other, until one names another one. It begins with
// another node each time: one may be silent, or cut off with an old primary.
func (n *clusterNodes) find(ctx context.Context) (string, error) { return n.findBeside(ctx, "") }

// findBeside is find, and does not ask the node at but. What a node says of itself counts
// only if no other tells: a primary that hung may not know yet that it was succeeded.
func (n *clusterNodes) findBeside(ctx context.Context, but string) (string, error) {
	var faults []error
	byItself := ""
	for asked := 0; asked < n.count(); asked++ {
		if err := ctx.Err(); err != nil {
			faults = append(faults, err)
			break
		}
		addr := n.next()
		if addr == but {
			continue
		}
		owner, others, err := n.ask(ctx, addr)
		if err != nil {
			faults = append(faults, fmt.Errorf("node %s: %w", addr, err))
			continue
		}
		n.learn(others)
		if owner != addr {
			return owner, nil
		}
		byItself = owner
	}
	if byItself != "" {
		return byItself, nil
	}
	return "", fmt.Errorf("no node of the cluster says which node has the keys: %w", errors.Join(faults...))
}

func (n *clusterNodes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.known)
}

func (n *clusterNodes) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn++
	return n.known[n.turn%len(n.known)]
}

// ask asks the node at addr for the node with the slot, and for all nodes.
func (n *clusterNodes) ask(ctx context.Context, addr string) (owner string, all []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client := redis.NewClient(n.target.clientOptions(n.life, addr))
	defer client.Close()
	slot, err := client.ClusterKeySlot(ctx, n.key).Result()
	if err != nil {
		return "", nil, err
	}
	//lint:ignore SA1019 CLUSTER SHARDS needs Redis 7.0.
	ranges, err := client.ClusterSlots(ctx).Result()
	if err != nil {
		return "", nil, err
	}
	for _, r := range ranges {
		for i, node := range r.Nodes {
			at, ok := fullAddr(node.Addr, addr)
			if !ok {
				continue
			}
			if i == 0 && int64(r.Start) <= slot && slot <= int64(r.End) {
				owner = at
			}
			all = append(all, at)
		}
	}
	if owner == "" {
		return "", nil, fmt.Errorf("no node has the slot %d", slot)
	}
	return owner, all, nil
}

// fullAddr completes the address of a node that the node at from named. A node that does
// not know its own host leaves it out.
func fullAddr(addr, from string) (string, bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "?" {
		return "", false
	}
	if host == "" {
		host, _, _ = net.SplitHostPort(from)
	}
	return net.JoinHostPort(host, port), true
}

// learn notes which nodes there are. Those of the URL stay known, since all others may be
// replaced.
func (n *clusterNodes) learn(all []string) {
	known := append(all, n.target.hosts...)
	slices.Sort(known)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = slices.Compact(known)
}

// confirm reads a key. A node that lost the slot, or the majority of the cluster, refuses.
func (n *clusterNodes) confirm(ctx context.Context, client *redis.Client, addr string) error {
	asked := time.Now()
	err := client.Exists(ctx, n.key).Err()
	if code(said(err)) == "MOVED" {
		return errMoved
	}
	if isMoving(err) {
		return nil // the slot is on its way, and the node still has it
	}
	if err != nil {
		return err
	}
	return n.believe(addr, asked)
}

// believe asks another node after a silence. A primary that hung goes on where it stopped,
// and answers until the others tell it that it was succeeded. If no other node can be
// asked, its word counts.
func (n *clusterNodes) believe(addr string, asked time.Time) error {
	n.mu.Lock()
	wasSilent := n.heardAt == addr && time.Since(n.heard) > silentFor
	n.mu.Unlock()
	if wasSilent {
		ctx, cancel := context.WithTimeout(n.life, askTimeout)
		defer cancel()
		if owner, err := n.findBeside(ctx, addr); err == nil && owner != addr {
			return errMoved
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.heardAt != addr || n.heard.Before(asked) {
		n.heardAt, n.heard = addr, asked
	}
	return nil
}

// listen needs not listen: events come from every node of a cluster.
func (n *clusterNodes) listen(context.Context, listener) {}

func (n *clusterNodes) close() {}

// movedTo returns the address in the answer MOVED of a node at from.
func movedTo(err error, from string) (string, bool) {
	words := strings.Fields(said(err))
	if len(words) != 3 || words[0] != "MOVED" {
		return "", false
	}
	return fullAddr(words[2], from)
}
