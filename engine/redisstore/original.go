package redisstore

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The keys of the original, the Python stack that this module replaces: a hash of values
// and a sorted set of ranks.
const (
	originalValues = "LRU-STORE"
	originalRanks  = "LRU-KEYS"
	originalStep   = 100
	// originalTimeout bounds each call.
	originalTimeout = 10 * time.Second
)

// ask calls the server with a deadline.
func ask[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, originalTimeout)
	defer cancel()
	got, err := call(ctx)
	if err != nil && err != redis.Nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return got, err
}

// Original reads the entries of the original from a Redis. It changes nothing there.
type Original struct {
	client *redis.Client
	target *Target
}

// OpenOriginal returns the original at t. It connects at the first call.
func OpenOriginal(t *Target) *Original {
	return &Original{redis.NewClient(t.clientOptions(context.Background(), t.options.Addr)), t}
}

// Close closes all connections.
func (o *Original) Close() error { return o.client.Close() }

// Ranked is an entry of the original.
type Ranked struct {
	Key   string
	Value store.Value
	Rank  float64
}

// Size counts the values, and checks that both keys have the right types.
func (o *Original) Size(ctx context.Context) (int, error) {
	for _, key := range []struct{ name, kind string }{{originalValues, "hash"}, {originalRanks, "zset"}} {
		kind, err := ask(ctx, func(ctx context.Context) (string, error) { return o.client.Type(ctx, key.name).Result() })
		switch {
		case err != nil: // no call has succeeded before, so the settings may be wrong
			return 0, diagnosed(err, o.target, false)
		case kind == "none" && key.name == originalRanks: // no value was ever read
		case kind == "none":
			return 0, fmt.Errorf("there is no %s in this database", key.name)
		case kind != key.kind:
			return 0, fmt.Errorf("%s is a %s, and a %s was expected", key.name, kind, key.kind)
		}
	}
	n, err := ask(ctx, func(ctx context.Context) (int64, error) { return o.client.HLen(ctx, originalValues).Result() })
	return int(n), err
}

// Each calls visit with every entry in eviction order, until visit returns false. Entries
// without a rank count as 0 and come first; the others follow by rank. Equal ranks come
// in the order of the sorted set, since the original keeps no age. Each does not follow
// changes that are made meanwhile.
func (o *Original) Each(ctx context.Context, visit func(Ranked) bool) error {
	if goOn, err := o.eachWithoutRank(ctx, visit); err != nil || !goOn {
		return err
	}
	for from := int64(0); ; from += originalStep {
		ranks, err := ask(ctx, func(ctx context.Context) ([]redis.Z, error) {
			return o.client.ZRangeWithScores(ctx, originalRanks, from, from+originalStep-1).Result()
		})
		if err != nil {
			return err
		}
		if len(ranks) == 0 {
			return nil
		}
		keys := make([]string, len(ranks))
		for i, r := range ranks {
			keys[i] = r.Member.(string)
		}
		values, err := ask(ctx, func(ctx context.Context) ([]any, error) {
			return o.client.HMGet(ctx, originalValues, keys...).Result()
		})
		if err != nil {
			return err
		}
		for i, v := range values {
			if text, ok := v.(string); ok && !visit(Ranked{keys[i], originalValue(text), ranks[i].Score}) {
				return nil
			}
		}
	}
}

func (o *Original) eachWithoutRank(ctx context.Context, visit func(Ranked) bool) (goOn bool, err error) {
	for cursor := uint64(0); ; {
		pairs, err := ask(ctx, func(ctx context.Context) (pairs []string, err error) {
			pairs, cursor, err = o.client.HScan(ctx, originalValues, cursor, "", originalStep).Result()
			return pairs, err
		})
		if err != nil {
			return false, err
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			_, err := ask(ctx, func(ctx context.Context) (float64, error) {
				return o.client.ZScore(ctx, originalRanks, pairs[i]).Result()
			})
			switch {
			case err == nil:
			case err != redis.Nil:
				return false, err
			case !visit(Ranked{Key: pairs[i], Value: originalValue(pairs[i+1])}):
				return false, nil
			}
		}
		if cursor == 0 {
			return true, nil
		}
	}
}

// originalValue returns a value of the original: text, or bytes if it is not UTF-8.
func originalValue(text string) store.Value {
	v := store.Value{Data: []byte(text), Kind: store.String}
	if !utf8.ValidString(text) {
		v.Kind, v.ContentType = store.Raw, "application/octet-stream"
	}
	return v
}
