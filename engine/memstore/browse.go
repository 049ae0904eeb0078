package memstore

import (
	"context"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Size implements store.Store.
func (s *Store) Size(ctx context.Context) (store.Size, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.ready(ctx, 0); err != nil {
		return store.Size{}, err
	}
	return store.Size{Keys: len(s.items), Bytes: s.bytes, Limits: s.limits, Number: s.number}, nil
}
