// Package memstore is a store in the memory of one process. It behaves like the one in
// Redis, but its entries end with the process.
package memstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Store is a store.Store in memory. An operation on an entry takes time logarithmic in
// the number of entries.
//
// The store copies keys and values of writes, so callers may reuse their memory. Fetch
// returns the stored entries themselves. All callers share them, and must not change
// them or the bytes of their values.
//
// It does not implement store.Watchable, since no other process writes to it.
type Store struct {
	mu     sync.Mutex
	closed bool

	items map[string]*item
	order *order
	ages  *ages  // nil until the first Scan
	bytes int64  // of all keys and values
	name  string // tells the stores of processes apart
	// expiring has the items that expire, by time and key.
	expiring *btree.BTreeG[*item]
	began    time.Time // times at which items expire count from here

	number  uint64       // of the last write
	fetches uint64       // number of fetches so far
	limits  store.Limits // zero until the first Apply
	policy  store.Policy // named in limits
}

// item is a stored entry with its place in the eviction order.
type item struct {
	key   string
	entry *store.Entry // replaced, never changed, since callers may hold it

	expires time.Duration // since Store.began; 0: never
	// score and insertion are the sort key in Store.order. Only the order changes them.
	score     float64
	insertion uint64

	fetched uint64 // the value of Store.fetches at its last fetch
}

func (it *item) size() int64 { return int64(len(it.key) + len(it.entry.Data)) }

// New returns an empty store. It has no limits until the first Apply.
func New() *Store {
	items := make(map[string]*item)
	return &Store{
		items: items, order: newOrder(items), expiring: newExpiring(), began: time.Now(),
		name: strconv.FormatUint(rand.Uint64(), 36),
	}
}

// Fetch implements store.Store. It never loses a raise.
func (s *Store) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.ready(ctx, max(len(keys), len(uses))); err != nil {
		return store.Fetched{}, err
	}
	s.fetches++
	entries := make([]*store.Entry, len(keys))
	if len(s.items) == 0 { // there may be no policy yet
		return store.Fetched{Entries: entries, Number: s.number}, nil
	}
	turn := s.policy.Begin(s.order)
	defer turn.End()
	now := s.now()
	for _, u := range uses {
		if it := s.items[u.Key]; it.isLive(now) {
			s.raise(turn, it, u.Count)
		}
	}
	var taken int64
	var expires []time.Time
	for i, key := range keys {
		it := s.items[key]
		if !it.isLive(now) {
			continue
		}
		size := len(it.entry.Data)
		if !room.Has(taken, size) {
			entries = entries[:i]
			break
		}
		taken += int64(size)
		entries[i] = it.entry
		if it.expires > 0 {
			if expires == nil {
				expires = make([]time.Time, len(keys))
			}
			expires[i] = s.began.Add(it.expires)
		}
		if it.fetched != s.fetches { // else the key is in keys twice
			it.fetched = s.fetches
			s.raise(turn, it, 1)
		}
	}
	if expires != nil {
		expires = expires[:len(entries)]
	}
	return store.Fetched{Entries: entries, Expires: expires, Number: s.number}, nil
}

func (s *Store) raise(turn store.Turn, it *item, times int) {
	s.order.move(it, turn.Fetch(it.key, s.policy.Own(s.order.State(), it.score), times))
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.ready(ctx, len(b.Writes)); err != nil {
		return store.Applied{}, err
	}
	if b.SetLimits || s.limits == (store.Limits{}) {
		if err := s.setLimits(b.Limits); err != nil {
			return store.Applied{}, err
		}
	}

	s.policy.Convert(s.order)
	run := batch{store: s, turn: s.policy.Begin(s.order), tag: rand.Uint32(), now: s.now(), mayExpire: maxExpired, watched: b.Watched}
	run.expire(b.Writes)
	run.workOff()
	results := make([]store.Result, len(b.Writes))
	for i := range b.Writes {
		results[i] = run.write(&b.Writes[i])
	}
	run.turn.End()
	return store.Applied{
		Results:       results,
		Evicted:       run.evicted,
		EvictedUnread: run.unread,
		Expired:       run.expired,
		Expiring:      s.expiring.Len(),
		Due:           s.isDue(run.now),
		Number:        s.number,
		Limits:        s.limits,
		Over:          s.over(),
		Converting:    len(s.order.state.Former) > 0,
		Keys:          len(s.items),
		Bytes:         s.bytes,
		Event:         store.Event{ID: store.Version{Number: s.number, Tag: run.tag}, Changes: run.changes},
	}, nil
}

// Close implements store.Store. It drops all entries, and may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.closed = true
	s.expiring = nil
	s.items, s.order, s.ages, s.bytes = nil, nil, nil, 0
	return nil
}

// ready reports why a call with n keys or writes cannot run.
func (s *Store) ready(ctx context.Context, n int) error {
	if s.closed {
		return store.ErrClosed
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
	}
	if n > store.MaxBatch {
		return fmt.Errorf("%w: %d at once, where %d is the most", store.ErrUnavailable, n, store.MaxBatch)
	}
	return nil
}
