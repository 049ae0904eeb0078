package store

// Rank is LFU without ageing: an entry enters with 0, each fetch adds 1, and nothing
// lowers a score.
var Rank = Policy{Name: "rank", Scale: Counts, Begin: func(o Ranking) Turn { return rank{lowestFirst{o}} }}

// rank counts from a clock that stands still. The clock is 0, unless another policy
// ordered the entries before.
type rank struct{ lowestFirst }

func (t rank) Enter(string) float64 { return t.State().Clock }

func (t rank) Fetch(_ string, score float64, times int) float64 {
	score = max(score, t.State().Clock) // a restored entry may have a lower one
	return score - fraction(score) + float64(times)
}
