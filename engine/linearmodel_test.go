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
// Clients see a version with every entry and every change, and the number in
// it is the place of that write in the store's own order. So the state of a
// key is whether it is there, and the number of its last change; a step is a
// change with its number, or the sight of a number or of absence.
//
// Evictions have no client. They are in the history as steps of their own,
// one for each that the store reported, so that a key may vanish only where
// the store said so. Such a step ends when the report was heard, which came
// after the script, and begins when the last call began that has a number up
// to the batch's: that call's write ran before or with it. Both bounds are
// certain, so a correct store is never accused; and since the number must lie
// between those of the changes around it, a wide interval hides nothing and
// does not make the search explode.
//
// A write of unknown fate left a report if it happened, and is one of the
// store's steps then too; otherwise it is no step at all. unclaimed checks
// that each report without an acknowledged write has such a write of its own:
// a batch applied twice leaves one too many.
type step struct {
	key    string
	what   string // of a change; "seen" or "absent" of a look
	number uint64
	match  uint64 // the number that a conditional change must find
	excl   uint64 // the number that a look that failed a condition cannot have seen
	by     string
}

type keyState struct {
	present bool
	number  uint64
}

func (s step) String() string { return fmt.Sprintf("%s %s %d by %s", s.key, s.what, s.number, s.by) }

func (s keyState) after(i step) (bool, keyState) {
	change := i.number > s.number && (i.match == 0 || i.match == s.number)
	switch i.what {
	case "created":
		return change && !s.present, keyState{true, i.number}
	case "replaced":
		return change && s.present, keyState{true, i.number}
	case "deleted", "evicted":
		return change && s.present, keyState{false, i.number}
	case "seen":
		return s.present && s.number == i.number && i.number != i.excl, s
	case "absent":
		return !s.present, s
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

// steps makes of calls and reports a history for the model. What cannot be
// right in any order is an error at once.
func steps(t *testing.T, calls []*call, reported []happening) []porcupine.Operation {
	t.Helper()
	byNumber := make(map[uint64]happening, len(reported))
	for _, h := range reported {
		if h.what == "evicted" {
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
	for _, c := range calls {
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
			s.what, s.match = outcomeWords[c.result.Outcome], c.match.Number
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
		if h.what == "evicted" || writes[h.number] == nil {
			history = append(history, porcupine.Operation{Input: step{key: h.key, what: h.what, number: h.number, match: matches[h.number], by: "the store"}, Call: begins, Return: h.heard})
		}
	}
	return history
}

var outcomeWords = map[store.Outcome]string{store.Created: "created", store.Replaced: "replaced", store.Deleted: "deleted"}

// unclaimed finds, for the changes that were reported and not acknowledged,
// the writes of unknown fate that they must come from, as far as somebody read
// what they wrote. It returns the numbers that their conditions name.
func unclaimed(t *testing.T, calls []*call, reported []happening, writes map[uint64]*call) map[uint64]uint64 {
	t.Helper()
	unknown := map[string]*call{} // by value
	type tally struct{ creates, puts, conditional, deletes, created, replaced, deleted int }
	tallies := map[string]*tally{}
	for _, c := range calls {
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
	// What was read must have been written, once, and not by a call that was
	// told that it changed nothing.
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
