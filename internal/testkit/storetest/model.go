package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// model is a store written as plainly as possible.
type model struct {
	order
	limits store.Limits
	policy store.Policy
	turn   store.Turn // of the running batch or fetch
	number uint64
	// The keys that the batch evicted, and how many of them were never fetched.
	evicted []string
	unread  int
	now     time.Duration
	expired []string // by the batch
}

// batch runs writes. Their versions have the given tag.
func (m *model) batch(writes []store.Write, tag uint32) []store.Result {
	m.evicted, m.unread = nil, 0
	m.policy.Convert(&m.order)
	m.turn = m.policy.Begin(&m.order)
	m.expire()
	m.workOff()
	results := make([]store.Result, len(writes))
	for i, w := range writes {
		results[i] = m.write(w, tag)
	}
	m.turn.End()
	return results
}

func (m *model) write(w store.Write, tag uint32) store.Result {
	i := slices.IndexFunc(m.rows, func(r row) bool { return r.Key == w.Key })
	var is store.Entry
	var version *store.Version
	if i >= 0 {
		is = m.rows[i].Entry
		version = &is.Version
	}
	switch {
	case w.Op != store.Put && w.Op != store.Delete && i >= 0:
		same := is.Kind == w.Value.Kind && is.ContentType == w.Value.ContentType && bytes.Equal(is.Data, w.Value.Data)
		return store.Result{Outcome: store.Conflict, Version: is.Version, SameValue: same}
	case w.Op == store.Delete && i < 0:
		return store.Result{Outcome: store.Absent}
	case w.Op != store.Delete && m.limits.MaxBytes > 0 && w.Size() > m.limits.MaxBytes:
		return store.Result{Outcome: store.TooLarge}
	case !store.Allows(w.IfMatch, w.IfNoneMatch, version):
		return store.Result{Outcome: store.PreconditionFailed, Version: is.Version}
	case w.Op == store.Restore && w.TTL < 0:
		return store.Result{Outcome: store.Expired}
	}

	m.number++
	v := store.Version{Number: m.number, Tag: tag}
	entry := store.Entry{Value: w.Value, Version: v}
	var old row
	if i >= 0 {
		old = m.rows[i]
		m.rows = slices.Delete(m.rows, i, i+1)
	}
	switch {
	case w.Op == store.Delete:
		m.turn.Forget(w.Key)
		return store.Result{Outcome: store.Deleted, Version: v}
	case i >= 0:
		m.makeRoom(w.Size())
		old.Entry, old.expires = entry, m.expiry(w)
		m.rows = append(m.rows, old)
		m.sort()
		return store.Result{Outcome: store.Replaced, Version: v}
	}
	m.makeRoom(w.Size())
	r := row{Ranked: Ranked{Key: w.Key, Insertion: m.number, Entry: entry}, unread: true, expires: m.expiry(w)}
	if w.Op == store.Restore {
		r.Score = m.state.Restored(&w)
		r.unread = m.policy.Unread(&m.state, r.Score)
	} else {
		r.Score = m.turn.Enter(w.Key)
	}
	m.rows = append(m.rows, r)
	m.sort()
	return store.Result{Outcome: store.Created, Version: v}
}

// makeRoom evicts until one more entry of that size fits into the limits.
func (m *model) makeRoom(size int64) {
	for len(m.rows)+1 > m.limits.MaxKeys || m.limits.MaxBytes > 0 && m.bytes()+size > m.limits.MaxBytes {
		m.evict()
	}
}

func (m *model) evict() {
	p, _ := m.turn.Victim()
	i := slices.IndexFunc(m.rows, func(r row) bool { return r.Key == p.Key })
	if m.rows[i].unread {
		m.unread++
	}
	m.evicted = append(m.evicted, p.Key)
	m.rows = slices.Delete(m.rows, i, i+1)
}

func (m *model) over() bool {
	return len(m.rows) > m.limits.MaxKeys || m.limits.MaxBytes > 0 && m.bytes() > m.limits.MaxBytes
}

func (m *model) bytes() (n int64) {
	for _, r := range m.rows {
		n += int64(len(r.Key) + len(r.Entry.Data))
	}
	return n
}

func (m *model) setLimits(l store.Limits) {
	if l.Eviction != m.limits.Eviction {
		var top, middle float64
		if n := len(m.rows); n > 0 {
			top, middle = m.rows[n-1].Score, m.rows[n/2].Score
		}
		from := m.policy
		m.policy, _ = store.PolicyByName(l.Eviction)
		m.state.Switch(from, m.policy, len(m.rows), top, middle)
		m.ghosts, m.shadow = nil, nil
	}
	m.policy.Convert(&m.order)
	m.limits = l
	m.evicted, m.unread = nil, 0
	m.turn = m.policy.Begin(&m.order)
	m.expire()
	m.workOff()
	m.turn.End()
}

// expiry returns when the entry of w expires. The TTL of a Restore stands for its Expires.
func (m *model) expiry(w store.Write) time.Duration {
	if w.TTL == 0 {
		return 0
	}
	return m.now + w.TTL
}

func (m *model) isLive(r *row) bool { return r.expires == 0 || r.expires > m.now }

// expire removes all expired entries: the model has fewer than one batch may remove.
func (m *model) expire() {
	m.expired = nil
	for i := 0; i < len(m.rows); {
		r := m.rows[i]
		if m.isLive(&r) {
			i++
			continue
		}
		m.rows = slices.Delete(m.rows, i, i+1)
		m.turn.Expire(store.Place{Key: r.Key, Score: r.Score})
		m.expired = append(m.expired, r.Key)
	}
	if m.expired != nil {
		m.number++
	}
}

func (m *model) expiring() (n int) {
	for _, r := range m.rows {
		if r.expires != 0 {
			n++
		}
	}
	return n
}

func (m *model) workOff() {
	if !m.over() {
		return
	}
	m.number++ // evictions that no write caused have a number of their own
	for range store.TrimStep {
		if !m.over() {
			return
		}
		m.evict()
	}
}

// fetch returns the entries of keys, and how long each lives; 0 for ever.
func (m *model) fetch(keys []string, uses []store.Use) ([]*store.Entry, []time.Duration) {
	m.turn = m.policy.Begin(&m.order)
	for _, u := range uses {
		for j := range m.rows {
			if r := &m.rows[j]; r.Key == u.Key && m.isLive(r) {
				m.raise(r, u.Count)
			}
		}
	}
	entries, lives := make([]*store.Entry, len(keys)), make([]time.Duration, len(keys))
	for i, key := range keys {
		for j := range m.rows {
			if r := &m.rows[j]; r.Key == key && m.isLive(r) {
				entries[i] = &store.Entry{Value: r.Entry.Value, Version: r.Entry.Version}
				if r.expires != 0 {
					lives[i] = r.expires - m.now
				}
				m.raise(r, 1)
			}
		}
	}
	m.sort()
	m.turn.End()
	return entries, lives
}

func (m *model) raise(r *row, times int) {
	r.Score = m.turn.Fetch(r.Key, m.policy.Own(&m.state, r.Score), times)
	r.unread = false
}
