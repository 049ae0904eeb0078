package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// changing is a store whose primary changes in the middle of a deletion.
type changing struct {
	*redisstore.Store
	after  int64 // how many writes
	change func()
	writes atomic.Int64
	once   sync.Once
}

func (c *changing) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	if c.writes.Add(int64(len(b.Writes))) > c.after {
		c.once.Do(c.change)
	}
	return c.Store.Apply(ctx, b)
}

func TestAPrefixIsDeletedThoughThePrimaryChanges(t *testing.T) {
	t.Parallel()
	const many = 3000
	for name, change := range map[string]func(c *redistest.Cluster){
		"a slot moves":         func(c *redistest.Cluster) { c.MoveSlot(stateKey, 1-c.Owner(stateKey)) },
		"a replica takes over": func(c *redistest.Cluster) { c.Failover(c.Owner(stateKey)) },
	} {
		t.Run(name, func(t *testing.T) {
			cluster := redistest.StartCluster(t, 2)
			cluster.AwaitReplicas()
			st, logger, _ := redisAt(t, cluster.URL())
			s := patient()
			s.Limits.MaxKeys = 2 * many
			filled(t, st, s.Limits, "drop/", many)
			filled(t, st, s.Limits, "keep/", 10)
			e := engine.New(&changing{Store: st, after: many / 3, change: func() { change(cluster) }}, s, engine.Options{Logger: logger})
			defer e.Close()
			deleted, err := e.DeletePrefix(t.Context(), "drop/")
			if err != nil || deleted != many {
				t.Errorf("deleted %d of %d, %v", deleted, many, err)
			}
			if size, err := e.Size(t.Context()); err != nil || size.Keys != 10 {
				t.Errorf("%+v, %v", size, err)
			}
		})
	}
}
