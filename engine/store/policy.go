package store

import (
	"fmt"
	"math"
	"strings"
)

// Policy decides which entry leaves a store when others need its room. It
// orders the entries by score: the lowest is the next to leave, and among
// equal scores the one that was created first.
//
// A new policy is a value in Policies, and for each store that keeps its order
// elsewhere a fragment of the same name with the same functions (redisstore: a
// Lua file). The suite in storetest runs every policy on every store, and
// compares all scores.
type Policy struct {
	// Name is the word in Limits.Eviction, of small letters alone.
	Name string
	// Scale says what its scores mean.
	Scale Scale
	// Window says that it lets entries stand apart, with scores below Edge: each
	// is a time, of its clock, plus Apart.
	Window bool
	// Begin opens a turn, in which one fetch or one batch moves the order.
	Begin func(o Ranking) Turn
}

// Turn is a policy at work on an order.
type Turn interface {
	// Enter returns the score of an entry that is about to be created.
	Enter(key string) float64
	// Fetch returns the new score of an entry that was fetched, or used so
	// often by others. The score it has is of the policy's own making.
	Fetch(key string, score float64, times int) float64
	// Leaves chooses the entry that leaves next; false if there is none.
	Leaves() (Place, bool)
	// Forget is told of a key that was deleted.
	Forget(key string)
	// End comes last.
	End()
}

// Ranking is what a store lets a policy see and move.
type Ranking interface {
	// State is kept with the entries from turn to turn.
	State() *State
	// Held is the number of entries.
	Held() int
	// Apart is the number of entries with scores below Edge.
	Apart() int
	// Lowest returns the first entry whose score is not below from.
	Lowest(from float64) (Place, bool)
	// Highest returns the last entry whose score is below.
	Highest(below float64) (Place, bool)
	// Move gives an entry another score.
	Move(key string, score float64)
	// Ghosts and Shadow are notes that a policy may keep on keys, whether
	// they are stored or not.
	Ghosts() Notes
	Shadow() Notes
}

const (
	// Edge divides the scores: a policy may let entries stand apart, below it.
	Edge = -1 << 50
	// Apart is how far below the clock the times of those are.
	Apart = -1 << 51
)

// Place is an entry of a ranking. Its score does not change with it.
type Place struct {
	Key   string
	Score float64
}

// Notes are numbers that are kept under keys.
type Notes interface {
	Get(key string) (float64, bool)
	// Set reports whether the key had no number.
	Set(key string, number float64) (added bool)
	Drop(key string)
	// Trim drops the lowest numbers, at most so many, until n are left; among
	// equal ones, the key that sorts first.
	Trim(n, most int)
}

// State is what a policy keeps beside the scores.
type State struct {
	// Clock is what scores count from: it never falls while there are entries,
	// and with Counts it stands still.
	Clock float64
	// Window is how many entries a policy with a window lets stand apart.
	Window float64

	// Start is where the clock began, and Shift how many halves Worths were
	// below Counts then, if they followed them.
	Start, Shift float64
	// Former are the orders of which scores are left, the first first.
	Former []Former
}

// Policies are all policies there are, the default first.
var Policies = []Policy{Rank, LRU, Adaptive}

// PolicyByName returns the policy with the given name.
func PolicyByName(name string) (Policy, bool) {
	for _, p := range Policies {
		if p.Name == name {
			return p, true
		}
	}
	return Policy{}, false
}

// CheckPolicy says which policies there are if none has the name.
func CheckPolicy(name string) error {
	if _, ok := PolicyByName(name); ok {
		return nil
	}
	names := make([]string, len(Policies))
	for i, p := range Policies {
		names[i] = p.Name
	}
	return fmt.Errorf("there is no policy %q; write one of %s", name, strings.Join(names, ", "))
}

// lowestFirst is the part of a turn that has nothing to say but scores.
type lowestFirst struct{ Ranking }

func (t lowestFirst) Leaves() (Place, bool) { return t.Lowest(math.Inf(-1)) }
func (lowestFirst) Forget(string)           {}
func (lowestFirst) End()                    {}

func fraction(x float64) float64 { return x - math.Floor(x) }
