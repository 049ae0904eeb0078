package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The model of one key.
//
// Clients see a version with every entry and every change. Its number is the place of
// that write in the store's own order. The state of a key in the model is whether it
// exists, and the number of its last change. A step is a change with its number, or a
// read that saw a number or an absent key.
//
// Evictions have no client. Each eviction that the store reported is a step of its own,
// and a key may vanish only at such a step. The step ends when the report arrived: the
// report came after the script. It begins when the last call with a number up to the
// batch's began: the write of that call ran before the eviction or with it. Both bounds
// are certain, so the test never fails a correct store. The number must lie between
// those of the changes around it. So a wide interval hides no error, and the search
// stays short.
//
// Time passes only when a client moves the clock of the store on by the life of all entries
// that expire. That is a step of every key: an entry with a life is absent from then on. Its
// removal, which the store reports later, is no step. If a write of unknown fate was applied,
// nobody knows whether its entry expires. Then the key is perhaps there, until a step shows
// that it is, or is not.
//
// A write of unknown fate that was applied has a report, and is a step of the store too.
// A write that was not applied is no step. unclaimed checks that each report without an
// acknowledged write has its own write of unknown fate. A batch that was applied twice
// has one report too many.
type step struct {
	key    string
	what   string // the change, "advanced", or for a read "seen" or "absent"
	number uint64
	match  uint64 // the number that a conditional change must find
	excl   uint64 // the number that a call with a failed condition cannot have seen
	life   life   // of the entry that it writes
	by     string
}

// life says whether an entry expires.
type life int

const (
	endless life = iota
	ending
	unknownLife
)

func lifeOf(c *call) life {
	if c.ttl > 0 {
		return ending
	}
	return endless
}

type keyState struct {
	present bool
	perhaps bool // it has expired or not; present is set, too
	number  uint64
	life    life
}

func (s step) String() string { return fmt.Sprintf("%s %s %d by %s", s.key, s.what, s.number, s.by) }

func (s keyState) after(i step) (bool, keyState) {
	change := i.number > s.number && (i.match == 0 || i.match == s.number)
	written := keyState{present: true, number: i.number, life: i.life}
	switch i.what {
	case "created":
		return change && (!s.present || s.perhaps), written
	case "replaced":
		return change && s.present, written
	case "deleted", "evicted":
		return change && s.present, keyState{number: i.number}
	case "seen":
		if s.perhaps { // so it does not expire
			s.perhaps, s.life = false, endless
		}
		return s.present && s.number == i.number && i.number != i.excl, s
	case "absent":
		return !s.present || s.perhaps, keyState{number: s.number}
	case "advanced":
		switch {
		case s.present && s.life == ending:
			s = keyState{number: s.number}
		case s.present && s.life == unknownLife:
			s.perhaps = true
		}
		return true, s
	default:
		return false, s
	}
}

var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(step).key
			byKey[key] = append(byKey[key], o)
		}
		var all [][]porcupine.Operation
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			all = append(all, byKey[key])
		}
		return all
	},
	Init: func() any { return keyState{} },
	Step: func(state, input, _ any) (bool, any) {
		ok, next := state.(keyState).after(input.(step))
		return ok, next
	},
	Hash: func(state any) uint64 { return state.(keyState).number },
}

// steps makes a history for the model from calls and reports. It returns an error for
// results that are wrong in every order.
func steps(t *testing.T, calls []*call, reported []happening) []porcupine.Operation {
	t.Helper()
	byNumber := make(map[uint64]happening, len(reported))
	for _, h := range reported {
		if h.what == "evicted" || h.what == "expired" {
			continue
		}
		if other, ok := byNumber[h.number]; ok {
			t.Errorf("one number for %+v and %+v", other, h)
		}
		byNumber[h.number] = h
	}
	writes := map[uint64]*call{}
	began := map[uint64]int64{} // when the call of a number began
	var history []porcupine.Operation
	keys := map[string]bool{}
	for _, c := range calls {
		if !c.advances {
			keys[c.key] = true
		}
	}
	for _, c := range calls {
		if c.advances {
			for key := range keys {
				s := step{key: key, what: "advanced", by: fmt.Sprint("client ", c.client)}
				history = append(history, porcupine.Operation{ClientId: c.client, Input: s, Call: c.from, Return: c.to})
			}
			continue
		}
		s := step{key: c.key, number: c.result.Version.Number, by: fmt.Sprintf("client %d (%c)", c.client, max(c.op, '-'))}
		switch {
		case c.unknown:
			continue
		case c.op == 0 && c.found != nil:
			s.what, s.number = "seen", c.found.Version.Number
		case c.op == 0, c.result.Outcome == store.Absent:
			s.what = "absent"
		case c.changed():
			h := byNumber[s.number]
			s.what, s.match, s.life = outcomeWords[c.result.Outcome], c.match.Number, lifeOf(c)
			if h.what != s.what || h.key != c.key || writes[s.number] != nil {
				t.Errorf("%v, but the store reported %+v", s, h)
			}
			writes[s.number], began[s.number] = c, c.from
		case c.result.Outcome == store.Conflict:
			s.what = "seen"
		case c.result.Outcome == store.PreconditionFailed && s.number == 0:
			s.what = "absent"
		case c.result.Outcome == store.PreconditionFailed:
			s.what, s.excl = "seen", c.match.Number
		default:
			t.Errorf("%v: outcome %d", s, c.result.Outcome)
			continue
		}
		history = append(history, porcupine.Operation{ClientId: c.client, Input: s, Call: c.from, Return: c.to})
	}
	matches := unclaimed(t, calls, reported, writes)

	slices.SortStableFunc(reported, func(a, b happening) int { return int(a.number) - int(b.number) })
	var begins int64
	next := 0
	for _, h := range reported {
		for ; next < len(reported) && reported[next].number <= h.batch; next++ {
			begins = max(begins, began[reported[next].number])
		}
		if h.what == "evicted" || h.what != "expired" && writes[h.number] == nil {
			history = append(history, porcupine.Operation{Input: step{key: h.key, what: h.what, number: h.number, match: matches[h.number], life: unknownLife, by: "the store"}, Call: begins, Return: h.heard})
		}
	}
	return history
}

var outcomeWords = map[store.Outcome]string{store.Created: "created", store.Replaced: "replaced", store.Deleted: "deleted"}

// unclaimed looks at the changes that were reported and not acknowledged. If a client
// read the value of one, its write of unknown fate is known. unclaimed returns the
// numbers in the conditions of these writes.
func unclaimed(t *testing.T, calls []*call, reported []happening, writes map[uint64]*call) map[uint64]uint64 {
	t.Helper()
	unknown := map[string]*call{} // by value
	type tally struct{ creates, puts, conditional, deletes, created, replaced, deleted int }
	tallies := map[string]*tally{}
	for _, c := range calls {
		if c.advances {
			continue
		}
		if tallies[c.key] == nil {
			tallies[c.key] = new(tally)
		}
		if !c.unknown {
			continue
		}
		ta := tallies[c.key]
		switch {
		case c.op == store.Delete:
			ta.deletes++
		case c.op == store.Create:
			ta.creates++
		case c.match.Number != 0:
			ta.conditional++
		default:
			ta.puts++
		}
		if c.op != store.Delete {
			unknown[c.value] = c
		}
	}
	for _, h := range reported {
		ta := tallies[h.key]
		if writes[h.number] != nil {
			continue // acknowledged, or evicted by a write that was
		}
		switch h.what {
		case "created":
			ta.created++
		case "replaced":
			ta.replaced++
		case "deleted":
			ta.deleted++
		}
	}
	for key, ta := range tallies {
		plain := max(0, ta.created-ta.creates) + max(0, ta.replaced-ta.conditional)
		if plain > ta.puts || ta.deleted > ta.deletes {
			t.Errorf("%s changed more often than it was written: %+v", key, *ta)
		}
	}
	// Each value that was read must have been written once, and not by a call with the
	// answer that it changed nothing.
	matches := map[uint64]uint64{}
	versions := map[string]store.Version{}
	for _, c := range calls {
		if c.found == nil {
			continue
		}
		v, value := c.found.Version, string(c.found.Data)
		w := writes[v.Number]
		if w == nil {
			w = unknown[value]
		}
		if w == nil || w.key != c.key || w.value != value || !w.unknown && w.result.Version != v {
			t.Errorf("%s read %q of %v, which was written by %+v", c.key, value, v, w)
			continue
		}
		if known, ok := versions[value]; ok && known != v {
			t.Errorf("%q was written twice: %v and %v", value, known, v)
		}
		versions[value] = v
		if w.unknown {
			matches[v.Number] = w.match.Number
		}
	}
	return matches
}

// linearizable fails the test unless the calls can be put into an order.
func linearizable(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(keyModel, history, 5*time.Minute)
	if result == porcupine.Ok {
		return
	}
	t.Errorf("linearizable: %v", result)
	byKey := keyModel.Partition(history)
	for i, partials := range info.PartialLinearizationsOperations() {
		var longest []porcupine.Operation
		for _, p := range partials {
			if len(p) > len(longest) {
				longest = p
			}
		}
		if len(longest) == len(byKey[i]) {
			continue
		}
		for _, o := range longest[max(0, len(longest)-4):] {
			t.Logf("in order:  [%d, %d] %v", o.Call, o.Return, o.Input)
		}
		placed := map[porcupine.Operation]bool{}
		for _, o := range longest {
			placed[o] = true
		}
		left := slices.DeleteFunc(slices.Clone(byKey[i]), func(o porcupine.Operation) bool { return placed[o] })
		slices.SortFunc(left, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
		for _, o := range left[:min(8, len(left))] {
			t.Logf("no place:  [%d, %d] %v", o.Call, o.Return, o.Input)
		}
	}
}
