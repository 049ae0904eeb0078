package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// reachTimeout bounds the first calls of a command.
const reachTimeout = 10 * time.Second

// open returns the partitions of the namespace, as many as Redis says. isNew says that
// Redis does not know the namespace. It connects at once. So an unreachable Redis is an
// error before anything is written, and has the words of the dialer.
func (c *Cache) open(ctx context.Context) (*redisstore.Partitions, bool, error) {
	var p *redisstore.Partitions
	var isNew bool
	err := unlessInterrupted(ctx, func() (err error) {
		p, isNew, err = c.connect(ctx)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return p, isNew, nil
}

func (c *Cache) connect(ctx context.Context) (p *redisstore.Partitions, isNew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	config := redisstore.Config{Target: c.Target, Namespace: c.Namespace, Logger: caddy.Log().Named("redis_proxy")}
	one := redisstore.NewPartitions(config, 1)
	has := 0
	if err = one.Check(ctx); err == nil {
		has, err = redisstore.CountPartitions(ctx, config)
	}
	if err == nil && has > 0 && c.Partitions > 0 && c.Partitions != has {
		err = c.otherPartitions(has)
	}
	count := cmp.Or(has, c.Partitions, 1)
	if err == nil && count == 1 {
		return one, has == 0, nil
	}
	if err = errors.Join(err, one.Close()); err != nil {
		return nil, false, err
	}
	return redisstore.NewPartitions(config, count), has == 0, nil
}

// otherPartitions is the error for a namespace that has another number of partitions than
// the configuration or the flag says.
func (c *Cache) otherPartitions(has int) error {
	if c.isByURL() {
		return usageError{fmt.Errorf("--partitions is %d, and the namespace %q has %d in Redis, which never changes; leave the flag out, or choose another namespace", c.Partitions, c.Namespace, has)}
	}
	return usageError{fmt.Errorf("the configuration has partitions %d, and the namespace %q has %d in Redis, which never changes; write partitions %d there, or choose another namespace", c.Partitions, c.Namespace, has, has)}
}

// isByURL says that no configuration describes the cache.
func (c *Cache) isByURL() bool { return c.Limits == store.Limits{} }

// locate returns the function that tells in which of p a key belongs. It begins the
// namespace if Redis does not know it.
func locate(ctx context.Context, p *redisstore.Partitions) (func(key string) int, error) {
	var located func(key string) int
	err := unlessInterrupted(ctx, func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		defer cancel()
		located, err = p.Locate(ctx, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return located, nil
}

// checkShares returns an error if a new namespace has less than one key, or one byte, for
// each of n partitions.
func checkShares(l store.Limits, n int) error {
	switch {
	case l.MaxKeys < n:
		return usageError{fmt.Errorf("max_keys is %d, which is less than one key for each of the %d partitions; give --max-keys", l.MaxKeys, n)}
	case l.MaxBytes > 0 && l.MaxBytes < int64(n):
		return usageError{fmt.Errorf("max_bytes is %d, which is less than one byte for each of the %d partitions; give --max-bytes", l.MaxBytes, n)}
	}
	return nil
}
