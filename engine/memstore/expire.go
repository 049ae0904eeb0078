package memstore

import (
	"cmp"
	"time"

	"github.com/tidwall/btree"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// maxExpired is how many expired items a batch removes to make room for its writes, beside
// its first step. Other calls wait meanwhile.
const maxExpired = 1000

func newExpiring() *btree.BTreeG[*item] {
	return btree.NewBTreeGOptions(func(a, b *item) bool {
		return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.key, b.key)) < 0
	}, btree.Options{NoLocks: true})
}

// now is the time by which items expire. It goes on steadily, whatever is done to the clock
// of the machine.
func (s *Store) now() time.Duration { return time.Since(s.began) }

// since returns a time of the store's clock as items have it.
func (s *Store) since(t time.Time) time.Duration { return t.Sub(s.began.Round(0)) }

// isLive reports whether an item exists and has not expired.
func (it *item) isLive(now time.Duration) bool {
	return it != nil && (it.expires == 0 || it.expires > now)
}

// isDue reports whether some item has expired.
func (s *Store) isDue(now time.Duration) bool {
	first, ok := s.expiring.Min()
	return ok && !first.isLive(now)
}

// setExpiry gives an item that w wrote its time to expire.
func (b *batch) setExpiry(it *item, w *store.Write) {
	if it.expires > 0 {
		b.store.expiring.Delete(it)
	}
	switch {
	case w.TTL > 0:
		it.expires = b.now + w.TTL
	case !w.Expires.IsZero():
		it.expires = b.store.since(w.Expires)
	default:
		it.expires = 0
		return
	}
	b.store.expiring.Set(it)
}

// expire removes a step of expired items, and those that writes name. No write caused
// that, so it takes a write number of its own.
func (b *batch) expire(writes []store.Write) {
	if !b.store.isDue(b.now) {
		return
	}
	b.store.number++
	coming := 0
	for i := range writes {
		if writes[i].Op != store.Delete && b.store.items[writes[i].Key] == nil {
			coming++
		}
	}
	b.removeDue(max(store.TrimStep, coming))
	for i := range writes {
		if it := b.store.items[writes[i].Key]; it != nil && !it.isLive(b.now) {
			b.removeExpired(it)
		}
	}
}

// removeDue removes up to n expired items.
func (b *batch) removeDue(n int) {
	had := len(b.expired)
	for len(b.expired)-had < n && b.store.isDue(b.now) {
		first, _ := b.store.expiring.Min()
		b.removeExpired(first)
	}
}

func (b *batch) removeExpired(it *item) {
	b.store.remove(it)
	b.turn.Expire(store.Place{Key: it.key, Score: it.score})
	b.expired = append(b.expired, it.key)
	b.tell("expired", it.key)
}
