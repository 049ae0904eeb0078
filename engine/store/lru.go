package store

// LRU evicts the least recently used entry. Its clock ticks once for each create and
// for each fetched entry.
var LRU = Policy{Name: "lru", Scale: Times, Begin: func(o Ranking) Turn { return lru{lowestFirst{o}} }}

type lru struct{ lowestFirst }

func (t lru) Enter(string) float64 { return t.tick() - 0.5 }

func (t lru) Fetch(string, float64, int) float64 { return t.tick() }

func (t lru) tick() float64 {
	s := t.State()
	s.Clock++
	return s.Clock
}
