package store

import "math"

// Adaptive keeps what is fetched often, and forgets slowly what was fetched
// long ago.
//
// A new entry stands apart, in a window that is ordered by last use. When the
// window is full its oldest entry must leave it. Then it is ranked, and the
// store keeps it only if it is worth twice what the lowest of the rest is.
//
// Ranks fade: a use counts half as much after half·C others, C being the
// number of entries. What is kept is the time at which a single use would be
// worth as much, so that only a use changes it. Ghosts remember the ranks of
// entries that left.
//
// How large the window should be differs from load to load, and is learned. A
// shadow holds the keys that LRU would hold. A create of a key that LRU would
// still have widens the window, a fetch of one that LRU would not have narrows
// it; a window that is everything is LRU.
//
// There is no chance in it and no time of day, and nothing but + - * / and
// floor, so that each store computes the same to the last bit. Where Go might
// fuse a product and a sum, a conversion keeps it from that.
var Adaptive = Policy{Name: "adaptive", Scale: Worths, Window: true, Begin: func(o Ranking) Turn {
	c := float64(max(o.Held(), 1))
	return &adaptive{
		Ranking: o,
		State:   o.State(),
		half:    half * c,
		grain:   max(1, math.Floor(c/grains)),
		used:    make(map[string]float64),
		left:    make(map[string]float64),
	}
}}

const (
	half   = 16   // in C: after so many uses, one counts half
	margin = 1    // in halves: how much more than the lowest a new entry must be worth
	least  = 0.01 // in C: the smallest window
	step   = 2    // what a key that only one of the two holds moves the window by
	leak   = 0.02 // the part of window/C that a key the shadow misses takes back
	grains = 16   // how finely the shadow tells times apart, a C of uses
	// windowParts are what a window is a whole number of, so that every store
	// writes and reads it exactly.
	windowParts = 1 << 16
	slack       = 200 // so many notes go, beside those that others come for and those of entries that left, when there are fewer entries
)

type adaptive struct {
	Ranking
	*State
	half, grain    float64
	created, moved bool // entries; moved also if any left or was deleted
	forgot         int  // of those deleted, how many
	// What the turn has for the shadow, when it was used, and for the ghosts,
	// with which rank it left.
	used, left map[string]float64
}

func (t *adaptive) Enter(key string) float64 {
	// Two, so that a window that became smaller empties as entries come.
	for range 2 {
		if !t.windowFull() {
			break
		}
		oldest, _ := t.Lowest(math.Inf(-1))
		t.Move(oldest.Key, t.ranked(oldest))
	}
	t.created, t.moved = true, true
	return t.use(key) + Apart - 0.5
}

func (t *adaptive) Fetch(key string, score float64, times int) float64 {
	now := t.use(key)
	if score < Edge {
		return now + Apart
	}
	// So many uses at one time, put together by twos.
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

func (t *adaptive) Leaves() (Place, bool) {
	lowest, rest := t.Lowest(Edge)
	worth := Adaptive.Own(t.State, lowest.Score)
	leaves, rank := lowest, worth
	if !rest || t.windowFull() {
		oldest, ok := t.Lowest(math.Inf(-1))
		if !ok {
			return Place{}, false
		}
		r := t.ranked(oldest)
		if rest && worth+float64(margin*t.half) < r {
			t.Move(oldest.Key, r)
		} else {
			leaves, rank = oldest, r
		}
	}
	t.left[leaves.Key], t.moved = math.Floor(rank), true
	return leaves, true
}

func (t *adaptive) Forget(key string) {
	t.moved = true
	t.forgot++
	delete(t.used, key)
	delete(t.left, key)
	t.Shadow().Drop(key)
	t.Ghosts().Drop(key)
}

func (t *adaptive) End() {
	c := t.Held()
	n := len(t.left)
	out := n + t.forgot // as many notes as entries may go
	if t.moved {
		t.Ghosts().Trim(c-n, slack+n+out) // before, so that they never need more room
		set(t.Ghosts(), t.left)
		if n > c {
			t.Ghosts().Trim(c, slack+n+out)
		}
	}
	added := set(t.Shadow(), t.used)
	if t.moved || added > 0 {
		t.Shadow().Trim(c, slack+added+out)
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

// judge moves the window: up by the creates of keys that the shadow has, down
// by the fetches of keys that it has not.
func (t *adaptive) judge(regrets, added, c float64) {
	w := t.Window + float64(step*regrets)
	w -= float64(leak*added) * t.Window / c
	w = min(max(w, 1, least*c), c)
	t.Window = math.Floor(w*windowParts) / windowParts
}

// use counts a use of a key, and returns when it was.
func (t *adaptive) use(key string) float64 {
	t.Clock++
	t.used[key] = t.Clock - math.Mod(t.Clock, t.grain)
	return t.Clock
}

func (t *adaptive) windowFull() bool {
	n := t.Apart()
	return n > 0 && float64(n) >= math.Floor(t.Window)
}

// ranked is the score of an entry of the window for the rest of the order.
func (t *adaptive) ranked(p Place) float64 {
	used := t.above(p.Score - Apart) // it may stand there since before other policies
	ghost, ok := t.left[p.Key]
	if !ok {
		ghost, ok = t.Ghosts().Get(p.Key)
	}
	if !ok {
		return used
	}
	unread := fraction(used)
	return fold(ghost, used-unread, t.half) + unread
}

// fold puts two uses together, each given as the time of a single one.
func fold(a, b, half float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a + math.Floor(half*plus((a-b)/half))
}

const (
	faded               = 32        // halves after which a use adds nothing
	ln2by32             = 0.0216608 // ln 2 / 32
	plus1, plus2, plus3 = 1.4427, 0.6484, 0.2057
)

// plus is about log2(1+2^-d): with x = 2^-d, a polynomial of x.
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
