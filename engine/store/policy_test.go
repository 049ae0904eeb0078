package store

import (
	"math"
	"strings"
	"testing"
)

func TestPoliciesAreFoundByTheirNames(t *testing.T) {
	for _, want := range Policies {
		p, ok := PolicyByName(want.Name)
		if !ok || p.Name != want.Name || p.Begin == nil || p.Scale == 0 {
			t.Errorf("%q: got %+v, %v", want.Name, p, ok)
		}
		if strings.Trim(want.Name, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q is more than small letters", want.Name)
		}
	}
	for _, name := range []string{"", "Rank", "rank ", "lfu"} {
		if _, ok := PolicyByName(name); ok {
			t.Errorf("%q is a policy", name)
		}
	}
}

func TestUsesAddUpAndFade(t *testing.T) {
	for d := 0.0; d < 40; d += 0.01 {
		if got, want := plus(d), math.Log2(1+math.Exp2(-d)); math.Abs(got-want) > 0.01 {
			t.Fatalf("plus(%v) = %v, want about %v", d, got, want)
		}
	}
	const half = 1000
	if got := fold(5000, 5000, half); got != 5000+half {
		t.Errorf("two uses at a time are worth %v", got)
	}
	if got := fold(5000, 5000-half, half); got != fold(5000-half, 5000, half) || math.Abs(got-5585) > 5 {
		t.Errorf("a use and one that faded to a half are worth %v", got)
	}
}
