package memstore

import (
	"cmp"

	"github.com/tidwall/btree"
)

// notes implements store.Notes.
type notes struct {
	numbers map[string]float64
	order   *btree.BTreeG[note]
}

type note struct {
	number float64
	key    string
}

func newNotes() *notes {
	return &notes{
		numbers: make(map[string]float64),
		order: btree.NewBTreeGOptions(func(a, b note) bool {
			return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.key, b.key)) < 0
		}, btree.Options{NoLocks: true}),
	}
}

func (n *notes) Get(key string) (float64, bool) {
	number, ok := n.numbers[key]
	return number, ok
}

func (n *notes) Set(key string, number float64) (added bool) {
	old, had := n.numbers[key]
	if had && old == number {
		return false
	}
	if had {
		n.order.Delete(note{old, key})
	}
	n.numbers[key] = number
	n.order.Set(note{number, key})
	return !had
}

func (n *notes) Drop(key string) {
	if number, had := n.numbers[key]; had {
		n.order.Delete(note{number, key})
		delete(n.numbers, key)
	}
}

func (n *notes) Trim(keep, most int) {
	for range min(len(n.numbers)-max(keep, 0), most) {
		lowest, _ := n.order.PopMin()
		delete(n.numbers, lowest.key)
	}
}
