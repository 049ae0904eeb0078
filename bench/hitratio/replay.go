package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// client is a cache-aside client: it reads a key, and creates it if it is absent.
type client interface {
	read(ctx context.Context, key string) (hit bool, err error)
	create(ctx context.Context, key string) error
}

// replay returns how many requests of t are hits for c.
func replay(ctx context.Context, t *trace, c client) (hits int, err error) {
	for _, place := range t.requests {
		key := t.keys[place]
		hit, err := c.read(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("reading %q: %w", key, err)
		}
		if hit {
			hits++
		} else if err := c.create(ctx, key); err != nil {
			return 0, fmt.Errorf("creating %q: %w", key, err)
		}
	}
	return hits, nil
}

// value is the value of every key.
var value = store.Value{Data: []byte("v"), Kind: store.Raw}

// throughEngine is a client of an engine, like the HTTP handler.
type throughEngine struct{ *engine.Engine }

// newThroughEngine returns a client of an engine over st. It has no local tier, so the
// policy is told of every read. Closing it closes st.
func newThroughEngine(st store.Store, l store.Limits) throughEngine {
	return throughEngine{engine.New(st, engine.Settings{
		Limits:        l,
		LocalMaxBytes: 1 << 20,
		MaxQueueJobs:  1,
		MaxQueueBytes: 1 << 20,
		Timeout:       10 * time.Second,
		DrainTimeout:  time.Second,
	}, engine.Options{})}
}

func (e throughEngine) read(ctx context.Context, key string) (bool, error) {
	answer, err := e.Get(ctx, key, engine.Read{})
	return answer.Entry != nil, err
}

func (e throughEngine) create(ctx context.Context, key string) error {
	res, err := e.Write(ctx, store.Write{Op: store.Create, Key: key, Value: value})
	return created(res, err)
}

// direct is a client of a store without an engine, for traces that would take too long with
// one. The hits are the same, since requests come one at a time.
type direct struct {
	store.Store
	limits store.Limits
}

func (d direct) read(ctx context.Context, key string) (bool, error) {
	fetched, err := d.Fetch(ctx, []string{key}, store.AnyRoom)
	return err == nil && fetched.Entries[0] != nil, err
}

func (d direct) create(ctx context.Context, key string) error {
	_, err := d.apply(ctx, key)
	return err
}

// apply creates a key.
func (d direct) apply(ctx context.Context, key string) (store.Applied, error) {
	applied, err := d.Apply(ctx, store.Batch{
		Writes: []store.Write{{Op: store.Create, Key: key, Value: value}},
		Limits: d.limits,
	})
	if err == nil {
		err = created(applied.Results[0], nil)
	}
	return applied, err
}

func created(res store.Result, err error) error {
	if err == nil && res.Outcome != store.Created {
		err = fmt.Errorf("outcome %d %s", res.Outcome, res.Reason)
	}
	return err
}
