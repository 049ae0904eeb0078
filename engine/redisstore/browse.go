package redisstore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

//go:embed browse.lua
var browseLua string

var browseScript = redis.NewScript(entryLua + browseLua)

// Size implements store.Store.
func (s *Store) Size(ctx context.Context) (store.Size, error) {
	reply, err := s.read(ctx, browseScript, "size")
	if err != nil {
		return store.Size{}, fmt.Errorf("reading the size: %w", err)
	}
	r := reader{reply: reply}
	size := store.Size{Number: uint64(r.int()), Keys: int(r.int()), Bytes: r.int()}
	size.Limits = store.Limits{MaxKeys: int(r.int()), MaxBytes: r.int(), Eviction: r.string()}
	return size, r.failure()
}
