package store

// Scale says what the scores of a policy mean. It has two readers: Unread, by which
// stores count the evicted entries that were never fetched, and another policy that takes
// over the order (convert.go). A policy whose scores break the rules of its Scale fails
// the tests of both.
type Scale int

const (
	// Counts are numbers of fetches, added to a clock that stands still.
	Counts Scale = iota + 1
	// Times say when an entry was created or last used. None is above the clock. A
	// time has a fraction until the entry is fetched.
	Times
	// Worths say at which time a single use would be worth as much as all uses of the
	// entry together. That may be above the clock. A worth has a fraction until the
	// entry is fetched.
	Worths
)

// Unread reports whether an entry with this score was never fetched.
func (s Scale) Unread(clock, score float64) bool {
	if s == Counts {
		return score < clock+1
	}
	return fraction(score) != 0
}

// AtPlace returns a score, less the clock, for an entry about which two facts are
// known: how many entries are valued more, and whether it was never fetched.
func (s Scale) AtPlace(behind int, unread bool) float64 {
	switch {
	case s == Counts && unread:
		return 0
	case s == Counts:
		return 1
	case unread:
		return float64(-behind) - 0.5
	}
	return float64(-behind)
}
