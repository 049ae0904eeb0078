package memstore

import (
	"fmt"
	"math"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// setLimits puts l in force. If the store exceeds it, workOff evicts.
func (s *Store) setLimits(l store.Limits) error {
	p, ok := store.PolicyByName(l.Eviction)
	switch {
	case !ok:
		return fmt.Errorf("%w: unknown eviction policy %q", store.ErrUnavailable, l.Eviction)
	case l.MaxKeys < 1:
		return fmt.Errorf("%w: a limit of %d keys", store.ErrUnavailable, l.MaxKeys)
	case l.MaxBytes < 0:
		return fmt.Errorf("%w: a limit of %d bytes", store.ErrUnavailable, l.MaxBytes)
	}
	if s.limits.Eviction != "" && s.limits.Eviction != l.Eviction {
		s.order.handOver(s.policy, p)
	}
	s.limits, s.policy = l, p
	return nil
}

func (s *Store) maxBytes() int64 {
	if s.limits.MaxBytes == 0 {
		return math.MaxInt64
	}
	return s.limits.MaxBytes
}

// over reports whether the store exceeds a limit. Only a lowered limit causes that.
func (s *Store) over() bool {
	return len(s.items) > s.limits.MaxKeys || s.bytes > s.maxBytes()
}

// workOff evicts one step of entries if the store exceeds a lowered limit. No write
// caused these evictions, so they take a write number of their own.
func (b *batch) workOff() {
	if !b.store.over() || b.store.isDue(b.now) {
		return // no live entry is evicted while there are expired ones
	}
	b.store.number++
	for range store.TrimStep {
		if !b.store.over() || !b.evict() {
			return
		}
	}
}

// makeRoom evicts until so many keys and bytes can be added. While the store exceeds a
// lowered limit, makeRoom frees only as much as will be added. So neither count rises. It
// returns false if more entries have expired than a batch may remove.
func (b *batch) makeRoom(keys int, bytes int64) bool {
	maxKeys := max(b.store.limits.MaxKeys, len(b.store.items))
	maxBytes := max(b.store.maxBytes(), b.store.bytes)
	for len(b.store.items) > maxKeys-keys || b.store.bytes > maxBytes-bytes {
		switch {
		case b.store.isDue(b.now) && b.mayExpire <= 0:
			return false // no live entry is evicted while there are expired ones
		case b.store.isDue(b.now):
			b.removeDue(store.TrimStep)
			b.mayExpire -= store.TrimStep
		case !b.evict():
			return true
		}
	}
	return true
}

// evict evicts one entry; false if there is none.
func (b *batch) evict() bool {
	victim, ok := b.turn.Victim()
	if !ok {
		return false
	}
	b.store.remove(b.store.items[victim.Key])
	b.evicted = append(b.evicted, victim.Key)
	b.tell("evicted", victim.Key)
	if b.store.policy.Unread(b.store.order.State(), victim.Score) {
		b.unread++
	}
	return true
}
