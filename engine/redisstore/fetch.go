package redisstore

import (
	"context"
	"fmt"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Fetch implements store.Store.
func (s *Store) Fetch(ctx context.Context, keys []string) (store.Fetched, error) {
	args := make([]any, 3, 3+len(keys))
	args[2] = store.Rank.Name
	for _, key := range keys {
		args = append(args, key)
	}
	w := s.writers.take()
	defer s.writers.put(w)
	reply, err := s.call(ctx, fetchScript, w, args)
	if err != nil {
		return store.Fetched{}, fmt.Errorf("fetching %d keys: %w", len(keys), err)
	}
	r := reader{reply: reply}
	fetched := store.Fetched{Number: uint64(r.int()), Epoch: r.string(), LostRaises: int(r.int()), Entries: make([]*store.Entry, len(keys))}
	s.leaveReadOnly(r.string())
	raised := false
	for i := range keys {
		value, found := r.optional()
		meta, _ := r.optional()
		if !found {
			continue
		}
		fetched.Entries[i] = decodeEntry(value, meta)
		raised = raised || fetched.Entries[i].Version.Number != 0
	}
	if r.err != nil {
		return store.Fetched{}, fmt.Errorf("%w: %w", store.ErrUnavailable, r.err)
	}
	if raised && fetched.LostRaises == 0 {
		w.recorded = true
	}
	return fetched, nil
}
