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
	return store.Size{Keys: len(s.items), Bytes: s.bytes, Expiring: s.expiring.Len(), Limits: s.limits, Number: s.number}, nil
}

// Probe implements store.Store.
func (s *Store) Probe(ctx context.Context, _ store.Durability) store.Health {
	s.mu.Lock()
	defer s.mu.Unlock()

	err := s.ready(ctx, 0)
	return store.Health{Reads: err, Writes: err}
}

// Page implements store.Store.
func (s *Store) Page(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.ready(ctx, n); err != nil {
		return store.Page{}, err
	}
	place := new(item)
	if after != "" {
		var err error
		if place.score, place.insertion, err = after.Place(); err != nil {
			return store.Page{}, err
		}
	}
	page := store.Page{Number: s.number, Clock: s.order.state.Clock}
	last := place
	now := s.now()
	list := func(it *item) bool {
		switch {
		case after != "" && !evictedBefore(it, place) && !evictedBefore(place, it):
			return true // the place itself
		case len(page.Entries) == n:
			page.Next = store.NewCursor(last.score, last.insertion)
			return false
		case !it.isLive(now):
			return true
		}
		listed := s.listed(it)
		listed.Entry = &store.Entry{Version: it.entry.Version}
		listed.Entry.Kind, listed.Entry.ContentType = it.entry.Kind, it.entry.ContentType
		page.Entries = append(page.Entries, listed)
		last = it
		return true
	}
	switch {
	case order == store.Next && after == "":
		s.order.tree.Scan(list)
	case order == store.Next:
		s.order.tree.Ascend(place, list)
	case after == "":
		s.order.tree.Reverse(list)
	default:
		s.order.tree.Descend(place, list)
	}
	return page, nil
}

// Look implements store.Store.
func (s *Store) Look(ctx context.Context, key string) (*store.Listed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.ready(ctx, 1); err != nil {
		return nil, err
	}
	it := s.items[key]
	if !it.isLive(s.now()) {
		return nil, nil
	}
	listed := s.listed(it)
	return &listed, nil
}

func (s *Store) listed(it *item) store.Listed {
	l := store.Listed{Key: it.key, Rank: s.policy.Own(&s.order.state, it.score) - s.order.state.Clock, Score: it.score, Age: s.number - it.insertion, Size: it.size(), Entry: it.entry}
	if it.expires > 0 {
		l.Expires = s.began.Add(it.expires).Round(0)
	}
	return l
}
