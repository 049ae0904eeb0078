package redisstore

import (
	"context"
	"fmt"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Fetch implements store.Store.
func (s *Store) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	args := make([]any, 5, 5+2*len(uses)+len(keys))
	args[2], args[3], args[4] = len(uses), room.Enough, room.Most
	for _, u := range uses {
		args = append(args, u.Key, u.Count)
	}
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
	fetched := store.Fetched{Number: uint64(r.int()), Epoch: r.string(), LastEvent: parseVersion(r.string()), LostRaises: int(r.int()), Entries: make([]*store.Entry, 0, len(keys))}
	refusal, recorded := r.string(), r.int() == 1
	s.raised(refusal, recorded)
	w.recorded = recorded || w.recorded
	for r.err == nil && r.next < len(reply) {
		var e *store.Entry
		value, found := r.optional()
		meta, _ := r.optional()
		if found {
			e = decodeEntry(value, meta)
		}
		fetched.Entries = append(fetched.Entries, e)
	}
	if r.err != nil {
		return store.Fetched{}, fmt.Errorf("%w: %w", store.ErrUnavailable, r.err)
	}
	return fetched, nil
}
