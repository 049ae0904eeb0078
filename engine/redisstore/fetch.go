package redisstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The modes of fetch.lua.
const (
	fetchRaising = iota
	fetchAgain   // raises nothing, because an earlier try may have raised
	fetchWhole   // raises nothing, and returns all values
)

// largeFetch is the most bytes of values that normally pass through the script. Lua
// copies values twice. More bytes are read directly, which costs another round trip.
const largeFetch = 64 << 10

// Fetch implements store.Store.
func (s *Store) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	fetched, err := s.fetch(ctx, keys, room, uses)
	if err != nil {
		return store.Fetched{}, fmt.Errorf("fetching %d keys: %w", len(keys), err)
	}
	return fetched, nil
}

func (s *Store) fetch(ctx context.Context, keys []string, room store.Room, uses []store.Use) (store.Fetched, error) {
	sent := time.Now()
	a, err := s.askFetch(ctx, fetchRaising, keys, room, uses)
	if err != nil {
		return store.Fetched{}, err
	}
	if a.now == 0 && anyExpires(a.metas) {
		// Another program removed the field of the state that says that entries expire.
		whole, err := s.askFetch(ctx, fetchWhole, keys, room, nil)
		if err != nil {
			return store.Fetched{}, err
		}
		whole.raises, whole.refusal = a.raises, a.refusal
		a = whole
	}
	s.raised(a.refusal, a.raises > 0)
	lost := 0
	if a.refusal != "" {
		lost = a.raises
	}
	if a.large > 0 {
		if a.values, err = s.readLarge(ctx, keys[:a.large], a.metas[:a.large]); err != nil {
			return store.Fetched{}, err
		}
		if a.values == nil {
			sent = time.Now()
			if a, err = s.askFetch(ctx, fetchWhole, keys, room, nil); err != nil {
				return store.Fetched{}, err
			}
		}
	}
	fetched := store.Fetched{Number: a.head.number, Epoch: a.head.epoch, LastEvent: a.head.event, LostRaises: lost}
	fetched.Entries = make([]*store.Entry, len(a.values))
	for i, value := range a.values {
		if value, found := value.(string); found {
			text, _ := a.metas[i].(string)
			m, known := decodeMeta(text)
			if known && m.expires > 0 {
				if m.expires <= a.now {
					continue
				}
				if fetched.Expires == nil {
					fetched.Expires = make([]time.Time, len(a.values))
				}
				// The time of the store is cut to a millisecond, so less may be left.
				left := min(m.expires-a.now-1, int64(store.MaxTTL/time.Millisecond))
				fetched.Expires[i] = sent.Add(time.Duration(left) * time.Millisecond)
			}
			fetched.Entries[i] = entryOf(value, m, known)
		}
	}
	return fetched, nil
}

// anyExpires reports whether an entry with one of these metas expires.
func anyExpires(metas []any) bool {
	return slices.ContainsFunc(metas, func(m any) bool {
		text, _ := m.(string)
		return text != "" && text[0] >= formMark && text[0]&formExpires != 0
	})
}

// fetchAnswer is the answer of fetch.lua.
type fetchAnswer struct {
	head    head
	raises  int // number of tried raises
	refusal string
	values  []any
	large   int // number of values to read directly; values is empty then
	metas   []any
	now     int64 // the time of the store in milliseconds since 1970; 0 if no entry expires
}

func (s *Store) askFetch(ctx context.Context, mode int, keys []string, room store.Room, uses []store.Use) (fetchAnswer, error) {
	args := make([]any, 4, 4+2*len(uses)+len(keys))
	args[0], args[1], args[2], args[3] = mode, room.Enough, room.Most, len(uses)
	for _, u := range uses {
		args = append(args, u.Key)
	}
	for _, key := range keys {
		args = append(args, key)
	}
	for _, u := range uses {
		args = append(args, u.Count)
	}
	reply, err := s.call(ctx, fetchScript, nil, args, nil)
	if err != nil {
		return fetchAnswer{}, err
	}
	r := reader{reply: reply}
	a := fetchAnswer{head: decodeHead(r.string()), raises: int(r.int()), refusal: r.string()}
	if large, ok := r.element().(int64); ok {
		a.large = int(large)
	} else {
		r.next--
		a.values = r.list()
	}
	a.metas = r.list()
	if r.more() {
		a.now = r.int()
	}
	if r.err == nil && len(a.metas) < len(uses)+max(a.large, len(a.values)) {
		r.fail("more meta")
	}
	if r.err != nil {
		return fetchAnswer{}, r.failure()
	}
	a.metas = a.metas[len(uses):]
	return a, nil
}

// readLarge reads values without a script, and their metas again. If a meta has changed,
// readLarge returns nil: every write changes the meta, so the value may be a newer one.
func (s *Store) readLarge(ctx context.Context, keys []string, metas []any) ([]any, error) {
	names := s.keys.reads()
	reply, err := s.repeat(ctx, fetching, func(ctx context.Context, client *redis.Client) ([]any, error) {
		var values, metas *redis.SliceCmd
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			values, metas = p.HMGet(ctx, names[0], keys...), p.HMGet(ctx, names[1], keys...)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return []any{values.Val(), metas.Val()}, nil
	})
	if err != nil {
		return nil, err
	}
	if after, ok := reply[1].([]any); !ok || !slices.Equal(after, metas) {
		return nil, nil
	}
	values, _ := reply[0].([]any)
	return values, nil
}
