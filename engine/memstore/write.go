package memstore

import (
	"bytes"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// batch is a running Apply. It holds the store's lock.
type batch struct {
	store   *Store
	turn    store.Turn
	tag     uint32
	evicted []string
	unread  int // of evicted
	now     time.Duration
	expired []string
	// mayExpire is how many expired items makeRoom may still remove.
	mayExpire int

	watched bool
	changes []store.Change // if watched
}

// tell notes a change for those who watch.
func (b *batch) tell(what, key string) {
	if b.watched {
		b.changes = append(b.changes, store.Change{What: what, Key: key, Number: b.store.number})
	}
}

// next returns the version of a write that changes the store.
func (b *batch) next() store.Version {
	b.store.number++
	return store.Version{Number: b.store.number, Tag: b.tag}
}

func (b *batch) write(w *store.Write) store.Result {
	it := b.store.items[w.Key]
	if w.Op == store.Delete {
		return b.delete(w, it)
	}
	if it != nil && w.Op != store.Put {
		return store.Result{
			Outcome:   store.Conflict,
			Version:   it.entry.Version,
			SameValue: same(it.entry.Value, w.Value),
		}
	}
	if w.Size() > b.store.maxBytes() {
		return store.Result{Outcome: store.TooLarge}
	}
	if res, ok := allowed(w, it); !ok {
		return res
	}
	if !w.Expires.IsZero() && b.store.since(w.Expires) <= b.now {
		return store.Result{Outcome: store.Expired}
	}
	if it == nil {
		return b.create(w)
	}
	return b.replace(w, it)
}

func (b *batch) create(w *store.Write) store.Result {
	if !b.makeRoom(1, w.Size()) {
		b.next()
		return store.Result{Outcome: store.TooMuchAtOnce}
	}
	v := b.next()
	var score float64
	if w.Op == store.Restore {
		score = b.store.order.state.Restored(w)
	} else {
		score = b.turn.Enter(w.Key)
	}
	it := &item{
		// The key is often a part of a request. A clone does not keep the whole request
		// in memory.
		key:       strings.Clone(w.Key),
		entry:     newEntry(w.Value, v),
		score:     score,
		insertion: v.Number,
	}
	b.store.items[it.key] = it
	b.store.order.put(it)
	b.store.ages.put(it)
	b.store.bytes += it.size()
	b.setExpiry(it, w)
	b.tell("created", it.key)
	return store.Result{Outcome: store.Created, Version: v}
}

func (b *batch) replace(w *store.Write, it *item) store.Result {
	grows := w.Size() - it.size()
	if grows > 0 {
		// It must not be evicted to make room for itself.
		b.store.order.take(it)
		hasRoom := b.makeRoom(0, grows)
		b.store.order.put(it)
		if !hasRoom {
			b.next()
			return store.Result{Outcome: store.TooMuchAtOnce}
		}
	}
	v := b.next()
	it.entry = newEntry(w.Value, v)
	b.store.bytes += grows
	b.setExpiry(it, w)
	b.tell("replaced", it.key)
	return store.Result{Outcome: store.Replaced, Version: v}
}

func (b *batch) delete(w *store.Write, it *item) store.Result {
	if it == nil {
		return store.Result{Outcome: store.Absent}
	}
	if res, ok := allowed(w, it); !ok {
		return res
	}
	b.store.remove(it)
	b.turn.Forget(w.Key)
	v := b.next()
	b.tell("deleted", it.key)
	return store.Result{Outcome: store.Deleted, Version: v}
}

// remove removes an item that was deleted or evicted, or that expired.
func (s *Store) remove(it *item) {
	s.order.take(it)
	s.ages.take(it)
	if it.expires > 0 {
		s.expiring.Delete(it)
	}
	delete(s.items, it.key)
	s.bytes -= it.size()
}

// allowed checks the conditions of w. The item is nil if the key is absent.
func allowed(w *store.Write, it *item) (res store.Result, ok bool) {
	if it == nil {
		return store.Result{Outcome: store.PreconditionFailed},
			store.Allows(w.IfMatch, w.IfNoneMatch, nil)
	}
	v := it.entry.Version
	return store.Result{Outcome: store.PreconditionFailed, Version: v},
		store.Allows(w.IfMatch, w.IfNoneMatch, &v)
}

func newEntry(v store.Value, version store.Version) *store.Entry {
	return &store.Entry{
		Value: store.Value{
			Data:        bytes.Clone(v.Data),
			Kind:        v.Kind,
			ContentType: strings.Clone(v.ContentType),
		},
		Version: version,
	}
}

func same(a, b store.Value) bool {
	return a.Kind == b.Kind && a.ContentType == b.ContentType && bytes.Equal(a.Data, b.Data)
}
