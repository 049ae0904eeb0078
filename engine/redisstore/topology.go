package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// topology knows which of several servers takes the writes of a namespace: its primary.
type topology interface {
	// find returns the address of the primary.
	find(ctx context.Context) (addr string, err error)
	// confirm returns an error if the server at addr may be the primary no more. The
	// client is connected to it.
	confirm(ctx context.Context, client *redis.Client, addr string) error
	// believe returns an error if an answer of the server at addr, to a question of the
	// time asked, may be that of a primary that was succeeded and does not know it.
	believe(addr string, asked time.Time) error
	// listen reports changes to l, until ctx ends. It may miss some; confirm then shows
	// them.
	listen(ctx context.Context, l listener)
	close()
}

// listener is told of changes of a topology.
type listener struct {
	moved     func() // another server may have become the primary
	promoting func() // a replica is about to become the primary
	aborted   func() // it will not
}

// topology returns the topology of t. It connects when it is asked. Its connections end
// when life ends.
func (t *Target) topology(life context.Context, keys keyspace) topology {
	switch t.kind {
	case sentinel:
		return newSentinels(life, t)
	case cluster:
		return newClusterNodes(life, t, keys)
	}
	return lone(t.options.Addr)
}

// hasTopology reports whether another server may become the primary.
func (t *Target) hasTopology() bool { return t.kind == sentinel || t.kind == cluster }

// lone is the address of the only server.
type lone string

func (l lone) find(context.Context) (string, error) { return string(l), nil }

func (lone) confirm(context.Context, *redis.Client, string) error { return nil }

func (lone) believe(string, time.Time) error { return nil }

func (lone) listen(context.Context, listener) {}

func (lone) close() {}

// errMoved ends what belongs to a server that is the primary no more.
var errMoved = errors.New("another server is the primary now")
