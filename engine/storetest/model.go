package storetest

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// model is the semantics of a store, written as plainly as can be.
type model struct {
	limits  store.Limits
	policy  store.Policy
	number  uint64
	rows    []Ranked // in eviction order
	evicted []string // since the batch began
}

func (m *model) write(w store.Write, tag uint32) store.Result {
	i := slices.IndexFunc(m.rows, func(r Ranked) bool { return r.Key == w.Key })
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
	}

	m.number++
	v := store.Version{Number: m.number, Tag: tag}
	entry := store.Entry{Value: w.Value, Version: v}
	switch {
	case w.Op == store.Delete:
		m.rows = slices.Delete(m.rows, i, i+1)
		return store.Result{Outcome: store.Deleted, Version: v}
	case i >= 0:
		m.rows[i].Entry = entry
		m.evict(w.Key)
		return store.Result{Outcome: store.Replaced, Version: v}
	}
	score := m.policy.Enter()
	if w.Op == store.Restore {
		score = w.Score
	}
	m.rows = append(m.rows, Ranked{w.Key, score, m.number, entry})
	m.evict(w.Key)
	m.sort()
	return store.Result{Outcome: store.Created, Version: v}
}

// evict removes the lowest until the limits are kept, but never spared.
func (m *model) evict(spared string) {
	for m.over() {
		i := slices.IndexFunc(m.rows, func(r Ranked) bool { return r.Key != spared })
		m.evicted = append(m.evicted, m.rows[i].Key)
		m.rows = slices.Delete(m.rows, i, i+1)
	}
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
	m.limits = l
	m.evicted = nil
	if m.over() {
		m.number++ // evictions that no write causes have a number of their own
		m.evict("")
	}
}

func (m *model) fetch(keys []string) []*store.Entry {
	entries := make([]*store.Entry, len(keys))
	for i, key := range keys {
		for j := range m.rows {
			if r := &m.rows[j]; r.Key == key {
				entries[i] = &store.Entry{Value: r.Entry.Value, Version: r.Entry.Version}
				r.Score = m.policy.Fetch(r.Score)
			}
		}
	}
	m.sort()
	return entries
}

func (m *model) sort() {
	slices.SortFunc(m.rows, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Insertion, b.Insertion))
	})
}
