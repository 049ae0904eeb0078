package dump

import (
	"math"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// scoring gives entries of a file the scores that they get in a partition.
type scoring struct {
	from, to store.Policy
	// keep says that ranks mean the same in the file and in the partition.
	keep bool
	// slower is how much slower the clocks of the partitions run than those in the file:
	// each ticks for the uses and creates of its own entries.
	slower float64
	// clocks are those of the partitions of the file.
	clocks []Partition
}

// newScoring returns the scoring for one of so many partitions with this policy.
func newScoring(h *Header, policy string, partitions int) scoring {
	s := scoring{keep: h.Eviction == policy, slower: float64(partitions) / float64(len(h.Partitions)), clocks: h.Partitions}
	s.from, _ = store.PolicyByName(h.Eviction) // unknown if a later version made the file
	s.to, _ = store.PolicyByName(policy)
	return s
}

// score makes scores of the ranks of rows, which are all entries of a partition in
// eviction order. The scores keep this order.
func (s *scoring) score(rows []row) {
	switch {
	case !s.keep:
		for i := range rows {
			rows[i].rank = s.to.Scale.AtPlace(len(rows)-1-i, s.from.Scale.Unread(0, rows[i].rank))
		}
	case s.slower != 1 && s.to.Scale != store.Counts:
		s.slowDown(rows)
	}
}

// slowDown makes the ranks of rows fit for the clock of a partition. They are distances
// from a clock, in whole ticks and a fraction that says whether the entry was ever
// fetched. Ranks that were different stay different, so that the order stays.
func (s *scoring) slowDown(rows []row) {
	above, was := math.Inf(1), math.Inf(1)
	for i := len(rows) - 1; i >= 0; i-- {
		r := &rows[i]
		if r.rank == was {
			r.rank = above
			continue
		}
		was = r.rank
		ticks, apart := math.Floor(within(r.rank)), 0.0
		fraction := within(r.rank) - ticks
		if s.to.Window && ticks+s.clocks[r.partition].Clock < store.Edge {
			apart = store.Apart // in the admission window
		}
		score := apart + math.Floor((ticks-apart)/s.slower) + fraction
		if score >= above {
			score = math.Ceil(above-fraction) - 1 + fraction
		}
		r.rank, above = score, score
	}
}

// within bounds a rank, which any file may have brought, as a restore does.
func within(rank float64) float64 { return (&store.Write{Score: rank}).Relative() }
