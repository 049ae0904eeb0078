package store

import (
	"fmt"
	"math"
	"strings"
)

// Policy decides which entry a store evicts when it needs room. It orders the entries by
// score. The entry with the lowest score is evicted next; among equal scores, the one
// that was created first.
//
// A new policy is a value in Policies, and a Lua file of the same name in
// engine/redisstore/policy, which does in Redis what Turn does here. order.lua beside
// that folder has the contract of its functions:
//
//   - enter and fetch are as in Turn, but enter may also insert the entry itself, and
//     then returns nil.
//   - victim also takes the entry out of the order; in Go, the store does this. Without
//     victim, the entry with the lowest score is evicted.
//   - settle brings the order in Redis up to date before another part of the script uses
//     it. A policy that keeps changes back needs it.
//   - forget is Forget, and with a score Expire.
//   - finish is End. A policy whose fetch moves the clock needs it, even if it is empty.
//
// Only enter and fetch are required. testdata/fifo.lua and fifo.go in storetest are a
// small policy to start from. The suite in storetest runs every policy on every store,
// and compares all scores and evictions with those in Go.
type Policy struct {
	// Name is the word in Limits.Eviction. It has small letters only.
	Name string
	// Scale says what its scores mean. The scores must obey the rules in scale.go: stores
	// tell by them whether an entry was ever fetched, and other policies convert them.
	Scale Scale
	// Window says that the policy has an admission window. Entries in the window have
	// scores below Edge: a time of the policy's clock, plus Apart.
	Window bool
	// Begin opens a turn, in which one fetch or one batch moves the order.
	Begin func(o Ranking) Turn
}

// Turn is a policy that changes an order, for one fetch or one batch.
type Turn interface {
	// Enter returns the score of an entry that is about to be created. By its Scale, it
	// is the score of an entry that was never fetched.
	Enter(key string) float64
	// Fetch returns the new score of an entry that was used times times. By its Scale, it
	// is the score of an entry that was fetched. The score that it has is one of this
	// policy.
	Fetch(key string, score float64, times int) float64
	// Victim chooses the entry that is evicted next; false if there is none. It is the
	// entry with the lowest score: pages and exports show this order, and storetest
	// requires it while scores of former policies are left. A policy with a Window may
	// also choose the lowest from Edge on, as Adaptive does.
	Victim() (Place, bool)
	// Forget notes that a key was deleted.
	Forget(key string)
	// Expire notes that the entry at a place has expired, and was removed.
	Expire(p Place)
	// End ends the turn.
	End()
}

// Ranking is the order of a store, as a policy reads and changes it.
type Ranking interface {
	// State returns the state that is kept with the entries from turn to turn.
	State() *State
	// Held is the number of entries.
	Held() int
	// InWindow is the number of entries in the admission window: with scores below Edge.
	InWindow() int
	// Lowest returns the first entry with a score of from or above.
	Lowest(from float64) (Place, bool)
	// Highest returns the last entry with a score below the given one.
	Highest(below float64) (Place, bool)
	// Move gives an entry another score.
	Move(key string, score float64)
	// Ghosts and Shadow are notes that a policy may keep on keys, stored or not.
	Ghosts() Notes
	Shadow() Notes
}

const (
	// Edge divides the scores: entries in an admission window have scores below it.
	Edge = -1 << 50
	// Apart is added to the times of entries in an admission window.
	Apart = -1 << 51
)

// Place is an entry of a ranking with its score. It is a copy: the score does not
// change with the entry.
type Place struct {
	Key   string
	Score float64
}

// Notes keeps a number for each of some keys.
type Notes interface {
	Get(key string) (float64, bool)
	// Set reports whether the key had no number.
	Set(key string, number float64) (added bool)
	Drop(key string)
	// Trim drops the lowest numbers until n are left, but at most most of them. Among
	// equal numbers, it drops the key that sorts first.
	Trim(n, most int)
}

// State is the state of a policy beside the scores.
type State struct {
	// Clock is the number from which scores count. It never falls while there are
	// entries. With Counts it stands still.
	Clock float64
	// Window is the size of the admission window in entries, if the policy has one.
	Window float64

	// Start is where the clock began. If the policy has Worths and followed one with
	// Counts, Shift is how many halves the worths were below the counts then.
	Start, Shift float64
	// Former are earlier orders with scores that are not yet converted, oldest first.
	Former []Former
}

// Policies lists all policies, the default first.
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

// CheckPolicy returns an error that lists the policies if none has the name.
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

// lowestFirst is the part of a turn that policies without notes share: the lowest entry
// is evicted.
type lowestFirst struct{ Ranking }

func (t lowestFirst) Victim() (Place, bool) { return t.Lowest(math.Inf(-1)) }
func (lowestFirst) Forget(string)           {}
func (lowestFirst) Expire(Place)            {}
func (lowestFirst) End()                    {}

func fraction(x float64) float64 { return x - math.Floor(x) }
