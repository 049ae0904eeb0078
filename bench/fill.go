package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// fill fills a site's namespace to its capacity, through the store. So Redis holds the same
// data as after POSTs.
func fill(ctx context.Context, redisURL string, s site) error {
	progress("filling namespace %s: %s keys", s.name, thousands(s.keys))
	target, err := redisstore.Parse(redisURL)
	if err != nil {
		return err
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: s.name, Logger: zap.NewNop()})
	defer st.Close()

	// Two goroutines: one encodes a batch while the other's batch is in Redis.
	var filling sync.WaitGroup
	errs := make([]error, 2)
	for half := range errs {
		filling.Go(func() {
			from, to := s.keys*half/2, s.keys*(half+1)/2
			for ; from < to && errs[half] == nil; from += store.MaxBatch {
				errs[half] = create(ctx, st, s, from, min(from+store.MaxBatch, to))
			}
		})
	}
	filling.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// create creates the keys with numbers in [from, to).
func create(ctx context.Context, st store.Store, s site, from, to int) error {
	batch := store.Batch{Limits: store.Limits{MaxKeys: s.keys, Eviction: store.Rank.Name}}
	for n := from; n < to; n++ {
		batch.Writes = append(batch.Writes, store.Write{Op: store.Create, Key: key(n), Value: s.value(n)})
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	applied, err := st.Apply(ctx, batch)
	if err != nil {
		return err
	}
	for i, r := range applied.Results {
		if r.Outcome != store.Created {
			return fmt.Errorf("creating %s: outcome %d %s", batch.Writes[i].Key, r.Outcome, r.Reason)
		}
	}
	return nil
}
