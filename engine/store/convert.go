package store

import "math"

// When a policy takes an order over from another one, every entry gets a score
// of its own making in place of the old one: at once where it is fetched, and a
// step at a time, from the most valued down, with every Apply. Until then old
// scores lie below all of its own, so that what is left of them leaves first
// and in the order it had. All that is known of a policy here is its scale, and
// whether it has a window. As in Adaptive, each store computes the same to the last
// bit.

const (
	// convertStep is how many entries an Apply converts.
	convertStep = 200
	// formerMost bounds how many orders may be mixed, if policies change faster
	// than entries are converted.
	formerMost = 4
	// roomy is how many halves below the clock there is room for old scores: a
	// use that faded so often adds nothing any more.
	roomy = faded
	// spread bounds by how much counts may differ, and stay apart as times.
	spread = 1 << 40
	// steady is how many halves above a single use the entry in the middle of
	// the counts becomes worth at most. The longer they were counted the higher
	// they are, and nothing new could compete with them.
	steady = 2
)

// Former is an order of which some scores are left.
type Former struct {
	Policy string
	Clock  float64 // at its end
	// The policy that followed began its clock with Start, and but for those
	// that stand apart all scores of its own making are Base or above.
	Base, Start float64
	// Half is that of Worths, before or after, and Shift how many of them they
	// are below Counts.
	Half, Shift float64
}

// Switch hands an order over from one policy to another. Of its scores, top is
// the highest and middle that of the entry in the middle. A policy whose scores
// mean the same goes on with those that there are.
func (s *State) Switch(from, to Policy, held int, top, middle float64) {
	if held == 0 {
		*s = State{}
		return
	}
	if from.Scale == to.Scale && from.Window == to.Window {
		s.Window = 0
		return
	}
	f := Former{Policy: from.Name, Clock: s.Clock, Base: max(s.Clock, math.Ceil(top)) + 1, Half: half * float64(held)}
	room := float64(roomy * f.Half)
	next := State{}
	switch {
	case to.Scale == Counts:
		room = 0
		f.Shift = max(s.Shift-(s.Clock-s.Start)/f.Half, 0) // it fades too
	case from.Scale == Counts && to.Scale == Times:
		room = max(room, min(f.Base-f.Clock, spread))
	case from.Scale == Counts:
		f.Shift = max(log2(1+math.Floor(max(from.Own(s, middle)-s.Clock, 0)))-steady, 0)
		next.Shift = f.Shift
	}
	f.Start = f.Base + room
	next.Clock, next.Start = f.Start, f.Start
	n := len(s.Former)
	next.Former = append(s.Former[max(n-formerMost+1, 0):n:n], f)
	*s = next
}

// Convert gives a step of entries scores of p's own making.
func (p Policy) Convert(o Ranking) {
	s := o.State()
	if len(s.Former) == 0 {
		return
	}
	for range convertStep {
		next, ok := o.Highest(s.base())
		if !ok || p.Window && next.Score < Edge {
			s.Former = nil
			return
		}
		o.Move(next.Key, p.Own(s, next.Score))
	}
}

// Own returns the score of p's own making for an entry that has score: what it
// would be if each policy in between had had the time to convert it.
func (p Policy) Own(s *State, score float64) float64 {
	for i := p.former(s, score); i < len(s.Former); i++ {
		to := p
		if i+1 < len(s.Former) {
			to = s.Former[i+1].policy()
		}
		score = s.Former[i].convert(score, to.Scale)
	}
	return score
}

// Unread reports whether an entry that has score was never fetched.
func (p Policy) Unread(s *State, score float64) bool {
	if i := p.former(s, score); i < len(s.Former) {
		return s.Former[i].unread(score)
	}
	return p.Scale.Unread(s.Clock, score)
}

// Restored returns the score of an entry that w restores.
func (s *State) Restored(w *Write) float64 { return s.above(s.Clock + w.Relative()) }

// above keeps a score of the policy's own making apart from those that are left.
func (s *State) above(score float64) float64 {
	if base := s.base(); score < base {
		return base + fraction(score)
	}
	return score
}

// base is below all scores of the policy's own making, but for those that stand
// apart, while others are left.
func (s *State) base() float64 {
	if len(s.Former) == 0 {
		return math.Inf(-1)
	}
	return s.Former[len(s.Former)-1].Base
}

// former returns the place of the order that score is left from, or behind all
// if it is of p.
func (p Policy) former(s *State, score float64) int {
	n := len(s.Former)
	if score >= s.base() || score < Edge && p.Window {
		return n
	}
	if score < Edge {
		for n--; n > 0 && !s.Former[n].policy().Window; n-- {
		}
		return n
	}
	for n--; n > 0 && score < s.Former[n-1].Base; n-- {
	}
	return n
}

// policy is the zero Policy where somebody else wrote the name.
func (f *Former) policy() Policy {
	p, _ := PolicyByName(f.Policy)
	return p
}

func (f *Former) unread(score float64) bool { return f.policy().Scale.Unread(f.Clock, score) }

// convert returns what the policy that followed makes of a score.
func (f *Former) convert(score float64, to Scale) float64 {
	from := f.policy().Scale
	unread := f.unread(score)
	was := math.Floor(score - f.Clock) // a count, or a time
	isApart := score < Edge
	if isApart {
		was -= Apart
	}
	if to == Counts {
		switch {
		case unread:
			return f.Base
		case isApart || from == Times:
			return f.Base + 1
		case from == Counts:
			return f.Base + was
		}
		return f.Base + max(math.Floor(exp2(min(max(was/f.Half+f.Shift, 0), roomy))-0.5), 1)
	}
	if to == Times {
		was += f.Clock - f.Base
	} else if from == Counts {
		was = math.Floor(f.Half * (log2(1+max(was, 0)) - f.Shift))
	}
	score = max(f.Start+was, f.Base)
	if unread {
		score += 0.5
	}
	return score
}

// log2 is about the logarithm of n, which is at least 1: linear between powers
// of 2.
func log2(n float64) float64 {
	k, power := 0.0, 1.0
	for power*2 <= n {
		power *= 2
		k++
	}
	return k + n/power - 1
}

// exp2 undoes log2.
func exp2(x float64) float64 {
	power := 1.0
	for ; x >= 1; x-- {
		power *= 2
	}
	return float64(power * (1 + x))
}
