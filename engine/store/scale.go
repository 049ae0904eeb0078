package store

// Scale says what the scores of a policy mean: how they are read by another
// policy that takes the order over.
type Scale int

const (
	// Counts are numbers of fetches, above a clock that stands still.
	Counts Scale = iota + 1
	// Times say when an entry was created or used: none is above the clock. They
	// have a fraction as long as nobody fetched the entry.
	Times
	// Worths say at which time a single use would be worth as much as all uses
	// of the entry together, which may be above the clock. They have a fraction as
	// long as nobody fetched the entry.
	Worths
)

// Unread reports whether an entry that has score was never fetched.
func (s Scale) Unread(clock, score float64) bool {
	if s == Counts {
		return score < clock+1
	}
	return fraction(score) != 0
}

// AtPlace returns a score, less the clock, for an entry of which no more is known
// than how many others are valued more, and whether it was ever fetched.
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
