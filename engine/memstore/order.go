package memstore

import (
	"github.com/tidwall/btree"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// order sorts the items by score, then by age, and holds the state and the notes of the
// policy. It implements store.Ranking.
type order struct {
	items    map[string]*item // of the store; may have one that is not in the tree
	tree     *btree.BTreeG[*item]
	inWindow int // number of items in the tree with scores below store.Edge

	state          store.State
	ghosts, shadow *notes
}

func newOrder(items map[string]*item) *order {
	return &order{
		items:  items,
		tree:   btree.NewBTreeGOptions(evictedBefore, btree.Options{NoLocks: true}),
		ghosts: newNotes(),
		shadow: newNotes(),
	}
}

func evictedBefore(a, b *item) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	return a.insertion < b.insertion
}

func (o *order) put(it *item) {
	o.tree.Set(it)
	if it.score < store.Edge {
		o.inWindow++
	}
}

func (o *order) take(it *item) {
	o.tree.Delete(it)
	if it.score < store.Edge {
		o.inWindow--
	}
}

func (o *order) move(it *item, score float64) {
	if score == it.score {
		return
	}
	o.take(it)
	it.score = score
	o.put(it)
}

// handOver hands the items over to another policy.
func (o *order) handOver(from, to store.Policy) {
	var top, middle float64
	if n := o.tree.Len(); n > 0 {
		highest, _ := o.tree.Max()
		central, _ := o.tree.GetAt(n / 2)
		top, middle = highest.score, central.score
	}
	o.state.Switch(from, to, o.tree.Len(), top, middle)
	o.ghosts, o.shadow = newNotes(), newNotes()
}

func (o *order) State() *store.State { return &o.state }
func (o *order) Held() int           { return len(o.items) }
func (o *order) InWindow() int       { return o.inWindow }

func (o *order) Lowest(from float64) (p store.Place, ok bool) {
	o.tree.Ascend(&item{score: from}, func(it *item) bool {
		p, ok = store.Place{Key: it.key, Score: it.score}, true
		return false
	})
	return p, ok
}

func (o *order) Highest(below float64) (p store.Place, ok bool) {
	o.tree.Descend(&item{score: below}, func(it *item) bool { // every item has an insertion number above 0
		p, ok = store.Place{Key: it.key, Score: it.score}, true
		return false
	})
	return p, ok
}

func (o *order) Move(key string, score float64) { o.move(o.items[key], score) }
func (o *order) Ghosts() store.Notes            { return o.ghosts }
func (o *order) Shadow() store.Notes            { return o.shadow }

// Ranked is an entry with its place in the eviction order.
type Ranked struct {
	Key       string
	Score     float64
	Insertion uint64 // number of the write that created the entry
	Entry     *store.Entry
}

// Order returns up to n entries, or all if n is negative, in eviction order. It tells the
// eviction policy nothing. A closed store has no entries.
func (s *Store) Order(n int) []Ranked {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed || n == 0 || len(s.items) == 0 {
		return nil
	}
	if n < 0 || n > len(s.items) {
		n = len(s.items)
	}
	ranked := make([]Ranked, 0, n)
	s.order.tree.Scan(func(it *item) bool {
		ranked = append(ranked, Ranked{it.key, it.score, it.insertion, it.entry})
		return len(ranked) < n
	})
	return ranked
}
