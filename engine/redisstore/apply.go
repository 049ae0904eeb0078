package redisstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// applyHead is the number of arguments of apply.lua before those of the writes.
const applyHead = 9

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	w := s.writers.take()
	defer s.writers.put(w)
	tag := rand.Uint32()
	d := s.durably(b)
	reply, err := d.answer(s.call(ctx, applyScript, w, s.applyArgs(b, tag), d))
	if err != nil {
		return store.Applied{}, fmt.Errorf("applying %d writes: %w", len(b.Writes), err)
	}
	applied, err := s.readApplied(reply, w, len(b.Writes), tag)
	if err != nil {
		return store.Applied{}, fmt.Errorf("%w: reading the answer to a batch: %w", store.ErrFateUnknown, err)
	}
	d.judge(&applied)
	return applied, nil
}

func (s *Store) applyArgs(b store.Batch, tag uint32) []any {
	n := len(b.Writes)
	args := make([]any, applyHead+3*n, applyHead+6*n)
	ops, attrs := make([]byte, n), make([]string, n)
	hasMore := false // conditions, or scores
	for i := range b.Writes {
		w := &b.Writes[i]
		ops[i] = byte(w.Op)
		if w.Op != store.Delete {
			attrs[i] = attrsOf(w)
			if expires(w) {
				ops[i] -= 'a' - 'A'
			}
		}
		// An interface holds a pointer to a string without an allocation.
		at := applyHead + i
		args[at], args[at+n], args[at+2*n] = &w.Key, w.Value.Data, &attrs[i]
		hasMore = hasMore || w.IfMatch != "" || w.IfNoneMatch != "" || w.Op == store.Restore
	}
	copy(args[2:], []any{binary.BigEndian.AppendUint32(nil, tag), s.keys.events(), b.Limits.MaxKeys, b.Limits.MaxBytes, b.Limits.Eviction, b.SetLimits, ops})
	if !hasMore {
		return args
	}
	args = args[:applyHead+6*n]
	for i := range b.Writes {
		w := &b.Writes[i]
		at := applyHead + 3*n + i
		args[at], args[at+n], args[at+2*n] = (*string)(&w.IfMatch), (*string)(&w.IfNoneMatch), formatScore(w.Relative())
	}
	return args
}

func (s *Store) readApplied(reply []any, w *writer, writes int, tag uint32) (store.Applied, error) {
	r := reader{reply: reply}
	head := decodeHead(r.string())
	before := uint64(r.int())
	a := store.Applied{Number: head.number, Epoch: head.epoch, LastEvent: head.event, Keys: head.keys, Bytes: head.bytes}
	unfinished := r.int()
	a.Over, a.Converting, a.Due = unfinished&1 != 0, unfinished&2 != 0, unfinished&4 != 0
	mended := r.int()
	a.Limits = store.Limits{MaxKeys: int(r.int()), MaxBytes: r.int(), Eviction: r.string()}
	answers := answers{rest: r.string(), version: store.Version{Number: before, Tag: tag}}
	a.Evicted = r.strings()
	a.EvictedUnread = int(r.int())
	unpublished := r.string()
	recorded := r.int() == 1
	if r.more() {
		a.Expiring, a.Expired = int(r.int()), r.strings()
	}
	w.recorded = recorded || w.recorded
	if recorded {
		s.written()
	}
	if r.err != nil {
		return a, r.err
	}
	a.Results = make([]store.Result, 0, writes)
	changed := false
	for answers.rest != "" {
		result, err := answers.next()
		if err != nil {
			return a, err
		}
		changed = s.judge(&result) || changed
		a.Results = append(a.Results, result)
	}
	if len(a.Results) != writes {
		return a, fmt.Errorf("%d answers to %d writes", len(a.Results), writes)
	}
	if mended > 0 {
		s.mended.Add(uint64(mended))
		s.logger.Warn("values, meta, ranks or state of this namespace disagreed in Redis and were repaired; does another program write to them, or does Redis evict?",
			zap.Int64("repaired", mended))
	}
	if changed || unpublished != "" {
		s.published(unpublished)
	}
	return a, nil
}
