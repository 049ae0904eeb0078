// Package storetest checks that every store.Store behaves the same.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Harness is a store to test, with functions that show its inside.
type Harness struct {
	// Store is new, empty and without limits. The suite closes it.
	Store store.Store

	// Inspect lists the stored entries in eviction order. It tells the eviction policy
	// nothing. It returns an error if the structures of the store disagree.
	Inspect func() ([]Ranked, error)

	// Kept returns the state of the policy.
	Kept func() (Kept, error)

	// Now returns the time of the store's clock, and Advance moves it on. Tests use hours,
	// so that the time that they take themselves does not matter.
	Now     func() time.Time
	Advance func(d time.Duration)
}

// Kept is the state of a policy beside the scores.
type Kept struct {
	State          store.State
	Ghosts, Shadow map[string]float64
}

// Ranked is a stored entry and its place in the eviction order.
type Ranked struct {
	Key       string
	Score     float64
	Insertion uint64 // number of the write that created the entry
	Entry     store.Entry
	Expires   time.Time // of the store's clock; zero for never
}

func (r Ranked) String() string {
	return fmt.Sprintf("%q score %v insertion %d version %s: %s",
		r.Key, r.Score, r.Insertion, r.Entry.Version, describe(r.Entry.Value))
}

func (r Ranked) equals(other Ranked) bool {
	return r.Key == other.Key && r.Score == other.Score && r.Insertion == other.Insertion &&
		r.Entry.Version == other.Entry.Version && differ(r.Entry.Value, other.Entry.Value) == nil
}

func describe(v store.Value) string {
	if len(v.Data) > 64 {
		return fmt.Sprintf("%c %q %d bytes", v.Kind, v.ContentType, len(v.Data))
	}
	return fmt.Sprintf("%c %q %q", v.Kind, v.ContentType, v.Data)
}

// Run runs the whole suite but RunModel. Each test calls open at least once.
func Run(t *testing.T, open func(t *testing.T) Harness) { run(t, open, groups) }

// RunShort runs Run without the long tests of policies: how a store reaches its server
// makes no difference to those.
func RunShort(t *testing.T, open func(t *testing.T) Harness) {
	run(t, open, slices.DeleteFunc(slices.Clone(groups), func(g group) bool { return g.isLong }))
}

// group is some tests of the suite.
type group struct {
	name   string
	tests  []test
	each   bool // runs under each policy, not only under the default
	isLong bool
}

var groups = []group{
	{name: "writes", tests: writeTests, each: true},
	{name: "versions and conditions", tests: versionTests, each: true},
	{name: "values and keys", tests: valueTests, each: true},
	{name: "the eviction order", tests: orderTests},
	{name: "policies", tests: policyTests, isLong: true},
	{name: "policies that follow each other", tests: switchTests, isLong: true},
	{name: "capacity in bytes", tests: byteTests, each: true},
	{name: "limits", tests: limitTests, each: true},
	{name: "batches", tests: batchTests, each: true},
	{name: "browsing", tests: browseTests, each: true},
	{name: "room of a fetch", tests: roomTests, each: true},
	{name: "restoring", tests: restoreTests, each: true},
	{name: "expiry", tests: expiryTests, each: true},
	{name: "life and errors", tests: lifeTests, each: true},
}

func run(t *testing.T, open func(t *testing.T) Harness, groups []group) {
	for _, group := range groups {
		policies := store.Policies
		if !group.each {
			policies = policies[:1]
		}
		for _, policy := range policies {
			name := group.name
			if group.each {
				name += " under " + policy.Name
			}
			t.Run(name, func(t *testing.T) {
				for _, tt := range group.tests {
					if group.each && !tt.isOf(policy) {
						continue
					}
					limits := roomy
					limits.Eviction = policy.Name
					t.Run(tt.name, func(t *testing.T) {
						tt.run(&fixture{T: t, open: open, Harness: opened(t, open), limits: limits})
					})
				}
			})
		}
	}
}

type test struct {
	name string // may begin with the policies to run it under: "rank, lru: "
	run  func(f *fixture)
}

func (t *test) isOf(p store.Policy) bool {
	names, _, _ := strings.Cut(t.name, ": ")
	isOf := false
	for name := range strings.SplitSeq(names, ", ") {
		if _, isPolicy := store.PolicyByName(name); !isPolicy {
			return true
		}
		isOf = isOf || name == p.Name
	}
	return isOf
}

// roomy limits are so large that tests evict nothing by chance. They have the policy of
// the run.
var roomy = store.Limits{MaxKeys: 10_000, Eviction: store.Rank.Name}

func opened(t *testing.T, open func(t *testing.T) Harness) Harness {
	h := open(t)
	t.Cleanup(func() { h.Store.Close() })
	return h
}

// fixture is a test with a store of its own.
type fixture struct {
	*testing.T
	Harness
	open   func(t *testing.T) Harness
	limits store.Limits // of every batch
}

// ctx gives a call more time than it needs, but less than the test has.
func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	f.Cleanup(cancel)
	return ctx
}

func (f *fixture) apply(writes ...store.Write) store.Applied {
	f.Helper()
	return f.applyBatch(store.Batch{Writes: writes, Limits: f.limits})
}

// setLimits puts l in force, now and in later batches.
func (f *fixture) setLimits(l store.Limits) store.Applied {
	f.Helper()
	f.limits = l
	return f.applyBatch(store.Batch{Limits: l, SetLimits: true})
}

func (f *fixture) applyBatch(b store.Batch) store.Applied {
	f.Helper()
	a, err := f.Store.Apply(f.ctx(), b)
	if err != nil {
		f.Fatalf("applying %d writes: %v", len(b.Writes), err)
	}
	if len(a.Results) != len(b.Writes) {
		f.Fatalf("%d answers to %d writes", len(a.Results), len(b.Writes))
	}
	return a
}

// write applies one write, and checks its outcome.
func (f *fixture) write(w store.Write, want store.Outcome) store.Result {
	f.Helper()
	res := f.apply(w).Results[0]
	if res.Outcome != want {
		f.Fatalf("%c %q: outcome %d (%s), want %d", w.Op, w.Key, res.Outcome, res.Reason, want)
	}
	return res
}

func (f *fixture) fetch(keys ...string) store.Fetched {
	f.Helper()
	return f.use(keys)
}

// use fetches keys, and tells the policy of uses.
func (f *fixture) use(keys []string, uses ...store.Use) store.Fetched {
	f.Helper()
	got, err := f.Store.Fetch(f.ctx(), keys, store.AnyRoom, uses...)
	if err != nil {
		f.Fatalf("fetching %d keys: %v", len(keys), err)
	}
	if len(got.Entries) != len(keys) {
		f.Fatalf("%d entries for %d keys", len(got.Entries), len(keys))
	}
	if got.LostRaises != 0 {
		f.Fatalf("%d lost raises", got.LostRaises)
	}
	return got
}

// value fetches a key that must exist.
func (f *fixture) value(key string) store.Entry {
	f.Helper()
	e := f.fetch(key).Entries[0]
	if e == nil {
		f.Fatalf("%q is absent", key)
	}
	return *e
}

func (f *fixture) inspect() []Ranked {
	f.Helper()
	rows, err := f.Inspect()
	if err != nil {
		f.Fatalf("the store is at odds with itself: %v", err)
	}
	return rows
}

// order returns the keys in eviction order.
func (f *fixture) order() []string {
	f.Helper()
	var keys []string
	for _, r := range f.inspect() {
		keys = append(keys, r.Key)
	}
	return keys
}

func (f *fixture) score(key string) float64 {
	f.Helper()
	for _, r := range f.inspect() {
		if r.Key == key {
			return r.Score
		}
	}
	f.Fatalf("%q is not stored", key)
	return 0
}

func (f *fixture) wantKeys(what string, got []string, want ...string) {
	f.Helper()
	if !slices.Equal(got, want) {
		f.Errorf("%s: %s, want %s", what, list(got), list(want))
	}
}

// list shows the first few of many keys.
func list(keys []string) string {
	if len(keys) > 20 {
		return fmt.Sprintf("%q and %d more", keys[:20], len(keys)-20)
	}
	return fmt.Sprintf("%q", keys)
}

func text(data string) store.Value {
	return store.Value{Data: []byte(data), Kind: store.String}
}

func create(key, data string) store.Write {
	return store.Write{Op: store.Create, Key: key, Value: text(data)}
}

func put(key, data string) store.Write {
	return store.Write{Op: store.Put, Key: key, Value: text(data)}
}

func restore(key, data string, score float64) store.Write {
	return store.Write{Op: store.Restore, Key: key, Value: text(data), Score: score}
}

func del(key string) store.Write { return store.Write{Op: store.Delete, Key: key} }

// numbered creates n entries named after prefix, of one byte each.
func numbered(prefix string, n int) []store.Write {
	writes := make([]store.Write, n)
	for i := range writes {
		writes[i] = create(fmt.Sprintf("%s%04d", prefix, i), "x")
	}
	return writes
}
