package store

// Rank keeps what is fetched most often: an entry enters with 0, and each
// fetch adds 1.
var Rank = Policy{Name: "rank", Scale: Counts, Begin: func(o Ranking) Turn { return rank{lowestFirst{o}} }}

// rank counts from a clock that stands still. It is 0 but where another policy
// ordered the entries before.
type rank struct{ lowestFirst }

func (t rank) Enter(string) float64 { return t.State().Clock }

func (t rank) Fetch(_ string, score float64, times int) float64 {
	score = max(score, t.State().Clock) // a restored one may be below
	return score - fraction(score) + float64(times)
}
