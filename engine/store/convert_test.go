package store

import (
	"fmt"
	"math"
	"testing"
)

// scoresOf are scores as p gives them when its clock is at 1000, the lower first.
func scoresOf(p Policy, half float64) []float64 {
	switch p.Scale {
	case Counts:
		return []float64{1000, 1001, 1002, 1003, 1010, 1500, 2000, 90_000}
	case Times:
		return []float64{0.5, 2, 3.5, 700, 998.5, 999, 1000}
	}
	return []float64{1, 2.5, 3, 900, 999.5, 1000, 1001, 1000 + half, 1000 + math.Floor(7.3*half), 1000 + 20*half}
}

func TestScoresOfEachPolicyBecomeThoseOfAnyOther(t *testing.T) {
	const held = 100
	for _, from := range Policies {
		for _, to := range Policies {
			if from.Name == to.Name {
				continue
			}
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				scores := scoresOf(from, half*held)
				was := State{Clock: 1000}
				s := was
				s.Switch(from, to, held, scores[len(scores)-1], scores[len(scores)/2])
				last := math.Inf(-1)
				for _, score := range scores {
					got := to.Own(&s, score)
					if got < s.base() || got < s.Start && to.Scale == Counts {
						t.Errorf("%v became %v, where %v is the least", score, got, s.base())
					}
					if got > s.Clock && to.Scale == Times {
						t.Errorf("%v became %v, which is later than now", score, got)
					}
					// Of times, Counts keep only whether there was a use, not their order.
					if got < last && !(from.Scale != Counts && to.Scale == Counts && fraction(score) != 0) {
						t.Errorf("%v became %v, below the one before it", score, got)
					}
					if got == last && to.Scale == Times {
						t.Errorf("%v became %v, as the one before it", score, got)
					}
					last = got
					if got != to.Own(&s, got) {
						t.Errorf("%v became %v, and then %v", score, got, to.Own(&s, got))
					}
					before, now := from.Unread(&was, score), to.Unread(&s, got)
					if left := to.Unread(&s, score); before != now || before != left {
						t.Errorf("%v: unread %v, as it is left %v, converted %v", score, before, left, now)
					}
				}
			})
		}
	}
}

func TestRanksBecomeUsesAndUsesRanks(t *testing.T) {
	for _, tt := range []struct {
		middle  float64 // rank
		n, uses float64
	}{
		{0, 0, 1}, {0, 1, 2}, {0, 2, 3}, {3, 15, 16}, {3, 1000, 1000}, // as they are
		{31, 31, 4}, {31, 255, 32}, {31, 7, 1}, {31, 3, 0.5}, // 32 is worth 4
		{1e9, 1e9, 4},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			const held = 1000
			var s State
			s.Switch(Rank, Adaptive, held, 2e9, tt.middle)
			score := Adaptive.Own(&s, tt.n)
			uses := math.Exp2((score - s.Clock) / (half * held))
			if math.Abs(uses/tt.uses-1) > 0.1 {
				t.Errorf("rank %v is worth %v uses, want %v", tt.n, uses, tt.uses)
			}
			s.Former = nil
			s.Switch(Adaptive, Rank, held, score, score)
			if got := Rank.Own(&s, score) - s.Clock; math.Abs(got-tt.n) > tt.n/1000 && tt.n > 0 {
				t.Errorf("rank %v came back as %v", tt.n, got)
			}
		})
	}
}

func TestLogarithmAndItsInverse(t *testing.T) {
	for n := 1.0; n < 1e12; n = math.Floor(n*1.37) + 1 {
		x := log2(n)
		if math.Abs(x-math.Log2(n)) > 0.087 || math.Abs(exp2(x)/n-1) > 1e-12 {
			t.Fatalf("log2(%v) = %v, and back %v", n, x, exp2(x))
		}
	}
}
