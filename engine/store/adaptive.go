package store

import "math"

// Adaptive is LFU with ageing behind an admission window and filter. It keeps entries
// that are fetched often, and slowly forgets old fetches.
//
// The admission window holds new entries, ordered by last use. When it is full, its
// oldest entry meets the admission filter: the entry is admitted to the rest of the
// order only if it is worth twice as much as the lowest entry there. Otherwise it is
// evicted.
//
// Worth fades: a use counts half as much after half·C other uses, where C is the number
// of entries. The score of an entry is the time at which a single use would be worth as
// much. So only a use changes a score. Ghosts remember the scores of evicted entries.
//
// The best size of the window depends on the load, and is learned. A shadow holds the
// keys that LRU would hold. A create of a key that LRU would still hold widens the
// window. A fetch of a key that LRU would not hold narrows it. A window as large as the
// store is LRU.
//
// The policy uses neither chance nor the time of day, and only + - * / and floor. So
// every store computes the same scores to the last bit. Go may fuse a product and a sum
// into one operation; a conversion to float64 prevents that.
var Adaptive = Policy{Name: "adaptive", Scale: Worths, Window: true, Begin: func(o Ranking) Turn {
	c := float64(max(o.Held(), 1))
	return &adaptive{
		order:   o,
		state:   o.State(),
		half:    half * c,
		grain:   max(1, math.Floor(c/grains)),
		used:    make(map[string]float64),
		evicted: make(map[string]float64),
	}
}}

const (
	half   = 16   // in C: after so many other uses, a use counts half
	margin = 1    // in halves: the filter admits entries worth so much more than the lowest
	least  = 0.01 // in C: the smallest window
	step   = 2    // how much the window grows at a create of a key that the shadow holds
	leak   = 0.02 // how much it shrinks at a fetch of a key that the shadow lacks, in window/C
	grains = 16   // how many different times the shadow tells apart in C uses
	// windowParts is the number of parts of 1 in which a window is counted. So every
	// store writes and reads it exactly.
	windowParts = 1 << 16
	// slack is how many notes a turn drops, beyond one for each new note and each
	// deleted or evicted entry, after the number of entries fell.
	slack = 200
)

type adaptive struct {
	order          Ranking
	state          *State
	half, grain    float64
	created, moved bool // an entry was created; one was created, evicted or deleted
	forgot         int  // deleted entries
	// used has notes for the shadow: the times of uses. evicted has notes for the
	// ghosts: the scores of evicted and expired entries.
	used, evicted map[string]float64
}

func (t *adaptive) Enter(key string) float64 {
	// Two entries may leave the window for one that comes. So a window that became
	// smaller empties.
	for range 2 {
		if !t.windowFull() {
			break
		}
		oldest, _ := t.order.Lowest(math.Inf(-1))
		t.order.Move(oldest.Key, t.ranked(oldest))
	}
	t.created, t.moved = true, true
	return t.use(key) + Apart - 0.5
}

func (t *adaptive) Fetch(key string, score float64, times int) float64 {
	now := t.use(key)
	if score < Edge {
		return now + Apart
	}
	// Add times uses at one time, by doubling.
	score -= fraction(score)
	for use := now; ; use = fold(use, use, t.half) {
		if times%2 == 1 {
			score = fold(score, use, t.half)
		}
		if times /= 2; times == 0 {
			return score
		}
	}
}

func (t *adaptive) Victim() (Place, bool) {
	lowest, rest := t.order.Lowest(Edge)
	worth := Adaptive.Own(t.state, lowest.Score)
	victim, rank := lowest, worth
	if !rest || t.windowFull() {
		oldest, ok := t.order.Lowest(math.Inf(-1))
		if !ok {
			return Place{}, false
		}
		r := t.ranked(oldest)
		if rest && worth+float64(margin*t.half) < r {
			t.order.Move(oldest.Key, r)
		} else {
			victim, rank = oldest, r
		}
	}
	t.evicted[victim.Key], t.moved = math.Floor(rank), true
	return victim, true
}

func (t *adaptive) Forget(key string) {
	t.moved = true
	t.forgot++
	delete(t.used, key)
	delete(t.evicted, key)
	t.order.Shadow().Drop(key)
	t.order.Ghosts().Drop(key)
}

// Expire leaves a ghost: the key may come back as often as before.
func (t *adaptive) Expire(p Place) {
	rank := Adaptive.Own(t.state, p.Score)
	if p.Score < Edge {
		rank = t.ranked(p)
	}
	t.evicted[p.Key], t.moved = math.Floor(rank), true
}

func (t *adaptive) End() {
	c := t.order.Held()
	n := len(t.evicted)
	out := n + t.forgot // one note for each entry that is gone
	if t.moved {
		t.order.Ghosts().Trim(c-n, slack+n+out) // first, so there are never more than c
		set(t.order.Ghosts(), t.evicted)
		if n > c {
			t.order.Ghosts().Trim(c, slack+n+out)
		}
	}
	added := set(t.order.Shadow(), t.used)
	if t.moved || added > 0 {
		t.order.Shadow().Trim(c, slack+added+out)
	}
	had := 0
	if t.created {
		had = len(t.used)
	}
	if had > 0 || added > 0 {
		t.judge(float64(had-added), float64(added), float64(max(c, 1)))
	}
}

// set adds numbers to n, and returns how many were new.
func set(n Notes, numbers map[string]float64) (added int) {
	for key, number := range numbers {
		if n.Set(key, number) {
			added++
		}
	}
	return added
}

// judge resizes the window. Creates of keys that the shadow holds (regrets) widen it.
// Fetches of keys that the shadow lacks (added) narrow it.
func (t *adaptive) judge(regrets, added, c float64) {
	w := t.state.Window + float64(step*regrets)
	w -= float64(leak*added) * t.state.Window / c
	w = min(max(w, 1, least*c), c)
	t.state.Window = math.Floor(w*windowParts) / windowParts
}

// use counts a use of a key, and returns its time.
func (t *adaptive) use(key string) float64 {
	t.state.Clock++
	t.used[key] = t.state.Clock - math.Mod(t.state.Clock, t.grain)
	return t.state.Clock
}

func (t *adaptive) windowFull() bool {
	n := t.order.InWindow()
	return n > 0 && float64(n) >= math.Floor(t.state.Window)
}

// ranked returns the score that an entry of the window would have in the rest of the
// order.
func (t *adaptive) ranked(p Place) float64 {
	used := t.state.above(p.Score - Apart) // it may be there since before other policies
	ghost, ok := t.evicted[p.Key]
	if !ok {
		ghost, ok = t.order.Ghosts().Get(p.Key)
	}
	if !ok {
		return used
	}
	unread := fraction(used)
	return fold(ghost, used-unread, t.half) + unread
}

// fold returns the score of two scores together.
func fold(a, b, half float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a + math.Floor(half*plus((a-b)/half))
}

const (
	faded               = 32        // after so many halves a use adds nothing
	ln2by32             = 0.0216608 // ln 2 / 32
	plus1, plus2, plus3 = 1.4427, 0.6484, 0.2057
)

// plus approximates log2(1+2^-d) by a polynomial of x = 2^-d.
func plus(d float64) float64 {
	if d >= faded {
		return 0
	}
	y := d * ln2by32
	x := 1 - float64(y*(1-float64(0.5*y)))
	for range 5 { // to the power of 32
		x *= x
	}
	return x * (plus1 - float64(x*(plus2-float64(plus3*x))))
}
