package storetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// order is the store.Ranking of the model.
type order struct {
	rows           []row // in eviction order
	state          store.State
	ghosts, shadow notes
}

// row is an entry. It also says whether the entry was fetched, without using the score.
type row struct {
	Ranked
	unread  bool
	expires time.Duration // by the clock of the model; 0: never
}

func (o *order) State() *store.State { return &o.state }
func (o *order) Held() int           { return len(o.rows) }

func (o *order) InWindow() (n int) {
	for _, r := range o.rows {
		if r.Score < store.Edge {
			n++
		}
	}
	return n
}

func (o *order) Lowest(from float64) (store.Place, bool) {
	for _, r := range o.rows {
		if r.Score >= from {
			return store.Place{Key: r.Key, Score: r.Score}, true
		}
	}
	return store.Place{}, false
}

func (o *order) Highest(below float64) (store.Place, bool) {
	for _, r := range slices.Backward(o.rows) {
		if r.Score < below {
			return store.Place{Key: r.Key, Score: r.Score}, true
		}
	}
	return store.Place{}, false
}

func (o *order) Move(key string, score float64) {
	for i := range o.rows {
		if o.rows[i].Key == key {
			o.rows[i].Score = score
		}
	}
	o.sort()
}

func (o *order) sort() {
	slices.SortFunc(o.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Insertion, b.Insertion))
	})
}

func (o *order) Ghosts() store.Notes { return &o.ghosts }
func (o *order) Shadow() store.Notes { return &o.shadow }

type notes map[string]float64

func (n *notes) Get(key string) (float64, bool) {
	number, ok := (*n)[key]
	return number, ok
}

func (n *notes) Set(key string, number float64) (added bool) {
	if *n == nil {
		*n = notes{}
	}
	_, had := (*n)[key]
	(*n)[key] = number
	return !had
}

func (n *notes) Drop(key string) { delete(*n, key) }

func (n *notes) Trim(keep, most int) {
	keys := slices.SortedFunc(maps.Keys(*n), func(a, b string) int {
		return cmp.Or(cmp.Compare((*n)[a], (*n)[b]), cmp.Compare(a, b))
	})
	for _, key := range keys[:max(min(len(keys)-max(keep, 0), most), 0)] {
		delete(*n, key)
	}
}
