package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Node is a process that subscribes to the events of a namespace.
type Node struct {
	Name      string
	Connected time.Duration
	This      bool // the process that asks
}

// nodeName names this process among the nodes of a namespace. It has random digits, since
// containers may share host name and process id. A client name in Redis must not have
// spaces, and colons separate its parts.
var nodeName = newNodeName()

func newNodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	host = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || c == ':' {
			return '-'
		}
		return c
	}, host)
	return fmt.Sprintf("%s:%d.%06x", host, os.Getpid(), rand.Uint32()>>8)
}

// clientName names the connection that subscribes.
func (k keyspace) clientName() string { return "redis_proxy:" + k.tag + ":" + nodeName }

// nameConnections gives the connections of o a name by which other nodes find this one.
// If the user lacks the right to set it, only the name is missing.
func (k keyspace) nameConnections(o *redis.Options) {
	o.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		_ = cn.ClientSetName(ctx, k.clientName()).Err()
		return nil
	}
}

// Nodes lists the processes that subscribe to the events of the namespace, sorted by name,
// and counts the subscriptions. If the user lacks the right to see names, only the count
// is returned; without any right, an error.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, count int, err error) {
	p, err := s.current(ctx)
	if err != nil {
		return nil, 0, err
	}
	var list, subscribed *redis.Cmd
	channel := s.keys.events()
	_, _ = p.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		list = p.Do(ctx, "CLIENT", "LIST", "TYPE", "PUBSUB")
		subscribed = p.Do(ctx, "PUBSUB", "NUMSUB", channel)
		return nil
	})
	text, err := list.Text()
	if err == nil {
		nodes = s.keys.nodes(text)
	}
	counts, countErr := subscribed.Slice()
	switch {
	case countErr == nil && len(counts) == 2:
		n, _ := counts[1].(int64)
		return nodes, int(n), nil
	case err != nil:
		return nil, 0, fmt.Errorf("asking Redis for its subscribers: %w", err)
	}
	return nodes, len(nodes), nil
}

// nodes reads the answer to CLIENT LIST. Each line is a connection.
func (k keyspace) nodes(list string) []Node {
	byName := make(map[string]Node)
	for line := range strings.Lines(list) {
		fields := make(map[string]string)
		for field := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(field, "=")
			fields[name] = value
		}
		name, ok := strings.CutPrefix(fields["name"], "redis_proxy:"+k.tag+":")
		// A namespace may have colons, and may begin with the name of another one.
		if !ok || strings.Count(name, ":") != 1 || fields["db"] != strconv.Itoa(k.db) || fields["sub"] == "0" {
			continue
		}
		age, _ := strconv.Atoi(fields["age"])
		node := Node{Name: name, Connected: time.Duration(age) * time.Second, This: name == nodeName}
		// A node that has just subscribed again may still have its old connection.
		if old, twice := byName[name]; !twice || node.Connected < old.Connected {
			byName[name] = node
		}
	}
	nodes := make([]Node, 0, len(byName))
	for _, node := range byName {
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes
}
