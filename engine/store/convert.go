package store

import "math"

// After a policy change, every entry gets a score of the new policy in place of its old
// score. A fetch converts the entry at once. Every Apply converts a step of entries, from
// the most valued down. Old scores lie below all new scores. So entries that are not yet
// converted are evicted first, in their old order.
//
// The conversion knows two facts of a policy: its scale, and whether it has a window. As
// in Adaptive, every store computes the same scores to the last bit.

const (
	// convertStep is how many entries an Apply converts.
	convertStep = 200
	// formerMost bounds how many old orders may be mixed, if policies change faster than
	// entries are converted.
	formerMost = 4
	// roomy is how many halves of room there are below the clock for old scores. A use
	// that faded so often adds nothing any more.
	roomy = faded
	// spread is the largest difference of counts that times keep.
	spread = 1 << 40
	// steady bounds the worth that the entry in the middle of the counts gets: so many
	// halves above a single use. Counts grow with time, and without this bound no new
	// entry could compete with old ones.
	steady = 2
)

// Former is an order of an earlier policy. Some of its scores are not yet converted.
type Former struct {
	Policy string
	Clock  float64 // at its end
	// Start is where the clock of the next policy began. Base is the lowest score that
	// the next policy gives, beside the scores of its window.
	Base, Start float64
	// Half is the half-life of Worths, before or after the change. Shift is how many
	// halves Worths are below Counts.
	Half, Shift float64
}

// Switch hands the order of held entries over from one policy to another. The highest
// score is top, and the entry in the middle has the score middle. If the scores of both
// policies mean the same, they stay.
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

// Convert gives a step of entries scores of p.
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

// Own returns the score of p for an entry with an old score, as if each policy in
// between had converted it.
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

// Unread reports whether an entry with this score was never fetched.
func (p Policy) Unread(s *State, score float64) bool {
	if i := p.former(s, score); i < len(s.Former) {
		return s.Former[i].unread(score)
	}
	return p.Scale.Unread(s.Clock, score)
}

// Restored returns the score for the entry that w restores.
func (s *State) Restored(w *Write) float64 { return s.above(s.Clock + w.Relative()) }

// above raises a score of the policy above all old scores.
func (s *State) above(score float64) float64 {
	if base := s.base(); score < base {
		return base + fraction(score)
	}
	return score
}

// base is the lowest score of the policy, beside the scores of its window, while there
// are old scores below it.
func (s *State) base() float64 {
	if len(s.Former) == 0 {
		return math.Inf(-1)
	}
	return s.Former[len(s.Former)-1].Base
}

// former returns the index of the old order that score belongs to, or len(s.Former) if
// it is a score of p.
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

// policy returns the zero Policy if the name is unknown.
func (f *Former) policy() Policy {
	p, _ := PolicyByName(f.Policy)
	return p
}

func (f *Former) unread(score float64) bool { return f.policy().Scale.Unread(f.Clock, score) }

// convert returns the score of the next policy, which has scale to, for an old score.
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

// log2 approximates the logarithm of n, which is at least 1. It is linear between
// powers of 2.
func log2(n float64) float64 {
	k, power := 0.0, 1.0
	for power*2 <= n {
		power *= 2
		k++
	}
	return k + n/power - 1
}

// exp2 is the inverse of log2.
func exp2(x float64) float64 {
	power := 1.0
	for ; x >= 1; x-- {
		power *= 2
	}
	return float64(power * (1 + x))
}
