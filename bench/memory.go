package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// redisMemory compares what a namespace takes in Redis with what its keys and
// values take in one hash, and its keys in one sorted set.
func (b *bench) redisMemory(ctx context.Context, rows []row) error {
	sv, err := b.start(ctx)
	if err != nil {
		return err
	}
	ours := site{name: "memory", keys: storeKeys, value: textValue}
	if err := fill(ctx, sv.redis.URL(), ours); err != nil {
		return err
	}
	if err := fillPlain(ctx, sv.client, ours.keys); err != nil {
		return err
	}
	var bytes [2]int64
	for i, pattern := range []string{"{memory}:*", "plain:*"} {
		// KEYS, not SCAN: there are a handful, and nobody waits.
		names, err := sv.client.Keys(ctx, pattern).Result()
		if err != nil {
			return err
		}
		for _, name := range names {
			n, err := sv.client.MemoryUsage(ctx, name, 0).Result()
			if err != nil {
				return err
			}
			bytes[i] += n
		}
		if err := sv.client.Unlink(ctx, names...).Err(); err != nil {
			return err
		}
	}
	perKey := func(n int64) float64 { return float64(n) / float64(ours.keys) }
	b.results = append(b.results, result{
		row: rows[0], values: []float64{float64(bytes[0]) / float64(bytes[1])},
		notes: []string{fmt.Sprintf("Memory in Redis: %.0f B a key, beside %.0f B, at %s keys.", perKey(bytes[0]), perKey(bytes[1]), thousands(ours.keys))},
	})
	return nil
}

func fillPlain(ctx context.Context, client *redis.Client, keys int) error {
	const chunk = 1000
	for from := 0; from < keys; from += chunk {
		var fields []any
		var members []redis.Z
		for n := from; n < min(from+chunk, keys); n++ {
			fields = append(fields, key(n), smallValue)
			members = append(members, redis.Z{Member: key(n)})
		}
		if err := client.HSet(ctx, "plain:values", fields...).Err(); err != nil {
			return err
		}
		if err := client.ZAdd(ctx, "plain:ranks", members...).Err(); err != nil {
			return err
		}
	}
	return nil
}
