package redisstore

import (
	"context"
	"fmt"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Fetch implements store.Store.
func (s *Store) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	args := make([]any, 4, 4+2*len(uses)+len(keys))
	args[1], args[2], args[3] = room.Enough, room.Most, len(uses)
	for _, u := range uses {
		args = append(args, u.Key)
	}
	for _, key := range keys {
		args = append(args, key)
	}
	for _, u := range uses {
		args = append(args, u.Count)
	}
	reply, err := s.call(ctx, fetchScript, nil, args)
	if err != nil {
		return store.Fetched{}, fmt.Errorf("fetching %d keys: %w", len(keys), err)
	}
	r := reader{reply: reply}
	head := decodeHead(r.string())
	raises, refusal := int(r.int()), r.string()
	values, metas := reader{reply: r.list()}, reader{reply: r.list()}
	s.raised(refusal, raises > 0)
	fetched := store.Fetched{Number: head.number, Epoch: head.epoch, LastEvent: head.event, Entries: make([]*store.Entry, 0, len(keys))}
	if refusal != "" {
		fetched.LostRaises = raises
	}
	metas.next = len(uses)
	for values.err == nil && values.next < len(values.reply) {
		var e *store.Entry
		value, found := values.optional()
		meta, _ := metas.optional()
		if found {
			e = decodeEntry(value, meta)
		}
		fetched.Entries = append(fetched.Entries, e)
	}
	for _, err := range []error{r.failure(), values.failure(), metas.failure()} {
		if err != nil {
			return store.Fetched{}, err
		}
	}
	return fetched, nil
}
