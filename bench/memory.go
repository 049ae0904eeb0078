package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// redisMemory compares the memory of a namespace in Redis with that of a plain hash with its
// keys and values and a plain sorted set with its keys.
func (b *bench) redisMemory(ctx context.Context, rows []row) error {
	sv, err := b.start(ctx)
	if err != nil {
		return err
	}
	keys := b.manyKeys / 10
	if err := fillPlain(ctx, sv.client, keys); err != nil {
		return err
	}
	plain, err := takeMemory(ctx, sv.client, "plain:*")
	if err != nil {
		return err
	}
	for _, r := range rows {
		ours := site{name: "memory", keys: keys, value: textValue}
		if r.what == rawMemory {
			ours.value = rawValue
		}
		if err := fill(ctx, sv.redis.URL(), ours); err != nil {
			return err
		}
		taken, err := takeMemory(ctx, sv.client, "{memory}:*")
		if err != nil {
			return err
		}
		b.results = append(b.results, result{
			row: r, values: []float64{taken / plain},
			notes: []string{fmt.Sprintf("%s: %.0f B, beside %.0f B, at %s keys.", r.what, taken/float64(keys), plain/float64(keys), thousands(keys))},
		})
	}
	return nil
}

// takeMemory returns the memory of keys in Redis, and deletes them.
func takeMemory(ctx context.Context, client *redis.Client, pattern string) (bytes float64, err error) {
	// KEYS is fine: there are few keys, and no client waits.
	names, err := client.Keys(ctx, pattern).Result()
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := client.MemoryUsage(ctx, name, 0).Result()
		if err != nil {
			return 0, err
		}
		bytes += float64(n)
	}
	return bytes, client.Unlink(ctx, names...).Err()
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
