package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// timeLoad is a full namespace, and the calls on it whose time is measured.
type timeLoad struct {
	*redisstore.Store
	policy  store.Policy
	keys    int
	value   store.Value
	fetches bool // else it creates
	allRead bool // before

	created int
}

func (l *timeLoad) fill(ctx context.Context, target *redisstore.Target, namespace string) error {
	l.Store = redisstore.New(redisstore.Config{Target: target, Namespace: namespace, Logger: zap.NewNop()})
	for l.created < l.keys {
		if err := l.apply(ctx, min(200, l.keys-l.created)); err != nil {
			return err
		}
	}
	if !l.allRead {
		return nil
	}
	keys := make([]string, l.keys)
	for i := range keys {
		keys[i] = key(i)
	}
	for range 3 {
		for some := range slices.Chunk(keys, 200) {
			if err := l.read(ctx, some); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *timeLoad) fetch(ctx context.Context, batch int) error {
	for range timeEntries / batch {
		keys := make([]string, batch)
		for i := range keys {
			keys[i] = key(rand.IntN(l.keys))
		}
		if err := l.read(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

func (l *timeLoad) read(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fetched, err := l.Fetch(ctx, keys, store.AnyRoom)
	if err == nil && slices.Contains(fetched.Entries, nil) {
		err = errors.New("an entry is gone that was read")
	}
	return err
}

// create creates entries. Each evicts another one.
func (l *timeLoad) create(ctx context.Context, batch int) error {
	for range timeEntries / batch {
		if err := l.apply(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (l *timeLoad) apply(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b := store.Batch{Limits: store.Limits{MaxKeys: l.keys, Eviction: l.policy.Name}}
	for range n {
		b.Writes = append(b.Writes, store.Write{Op: store.Create, Key: key(l.created), Value: l.value})
		l.created++
	}
	applied, err := l.Apply(ctx, b)
	if err == nil && applied.Results[0].Outcome != store.Created {
		err = fmt.Errorf("outcome %d %s", applied.Results[0].Outcome, applied.Results[0].Reason)
	}
	return err
}
