package memstore

import "github.com/redis-proxy/caddy-redis-proxy/engine/store"

// Ranked is an entry with its place in the eviction order.
type Ranked struct {
	Key       string
	Score     float64
	Insertion uint64 // number of the write that created the entry
	Entry     *store.Entry
}

// Order returns up to n entries, or all if n is negative, in the order in
// which they will leave. The eviction policy is not told. A closed store has
// none.
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
	s.order.Scan(func(it *item) bool {
		ranked = append(ranked, Ranked{it.key, it.score, it.insertion, it.entry})
		return len(ranked) < n
	})
	return ranked
}
