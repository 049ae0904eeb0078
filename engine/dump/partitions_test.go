package dump_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

// namespace is a namespace whose partitions are in memory.
type namespace struct {
	partitions []*memstore.Store
	limits     store.Limits
	seed       string
}

func newNamespace(t testing.TB, partitions int, limits store.Limits, seed string) *namespace {
	n := &namespace{limits: limits, seed: seed}
	for range partitions {
		st := memstore.New()
		t.Cleanup(func() { _ = st.Close() })
		n.partitions = append(n.partitions, st)
	}
	return n
}

func (n *namespace) locate(key string) int {
	h := fnv.New32a()
	h.Write([]byte(n.seed + key))
	return int(h.Sum32()>>8) % len(n.partitions)
}

// create stores a key. Every partition then has limits.
func (n *namespace) create(t testing.TB, key string) {
	t.Helper()
	to := n.locate(key)
	apply(t, n.partitions[to], n.limits.Share(to, len(n.partitions)), store.Write{Op: store.Create, Key: key, Value: text("value of " + key)})
}

func (n *namespace) fetch(t testing.TB, key string) {
	t.Helper()
	fetch(t, n.partitions[n.locate(key)], key)
}

func (n *namespace) sources() (sources []dump.Source) {
	for _, st := range n.partitions {
		sources = append(sources, st)
	}
	return sources
}

func (n *namespace) export(t testing.TB) []byte {
	t.Helper()
	exported, err := exportAll(t, n.sources(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return exported
}

// importer returns an import into n.
func (n *namespace) importer() *dump.Import {
	i := &dump.Import{Locate: n.locate, Limits: n.limits}
	for _, st := range n.partitions {
		i.Targets = append(i.Targets, st)
	}
	return i
}

func (n *namespace) restore(t testing.TB, exported []byte) dump.ImportCounts {
	t.Helper()
	counts, err := n.importer().File(t.Context(), open(t, exported))
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// place is an entry with its place in a namespace.
type place struct {
	store.Listed
	partition int
}

// order returns the entries of all partitions in the order in which one store would evict
// them.
func (n *namespace) order(t testing.TB) (order []place) {
	t.Helper()
	for i := range n.partitions {
		page, err := n.partitions[i].Page(t.Context(), "", store.MaxBatch, store.Next)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Entries {
			order = append(order, place{l, i})
		}
	}
	slices.SortStableFunc(order, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(b.Age, a.Age))
	})
	return order
}

// keysWhere returns the keys of the entries for which is returns true.
func keysWhere(order []place, is func(place) bool) (keys []string) {
	for _, e := range order {
		if is(e) {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func TestARestoreKeepsTheOrderWithAnyNumberOfPartitions(t *testing.T) {
	storetest.AddFIFO(t)
	for _, p := range store.Policies {
		for _, c := range [][2]int{{1, 4}, {4, 1}, {3, 2}} {
			t.Run(fmt.Sprintf("%s, %d to %d", p.Name, c[0], c[1]), func(t *testing.T) {
				rapid.Check(t, func(r *rapid.T) { keepsOrder(t, r, p, c[0], c[1]) })
			})
		}
	}
}

func keepsOrder(t *testing.T, r *rapid.T, p store.Policy, from, to int) {
	limits := store.Limits{MaxKeys: rapid.IntRange(10, 60).Draw(r, "max_keys"), Eviction: p.Name}
	old := newNamespace(t, from, limits, "old")
	key := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint("k", rapid.IntRange(0, 79).Draw(r, "key")) })
	for range rapid.IntRange(0, 200).Draw(r, "steps") {
		if k := key.Draw(r, "k"); rapid.Bool().Draw(r, "read") {
			old.fetch(t, k)
		} else {
			old.create(t, k)
		}
	}
	for i := range old.partitions { // even those without an entry get their limits
		apply(t, old.partitions[i], limits.Share(i, from))
	}
	limits.MaxKeys = 1000
	next := newNamespace(t, to, limits, "next")
	next.restore(t, old.export(t))

	was, is := old.order(t), next.order(t)
	if len(was) != len(is) {
		r.Fatalf("%d entries of %d", len(is), len(was))
	}
	before := make(map[string]place)
	for _, e := range was {
		before[e.Key] = e
	}
	for _, e := range is {
		if p.Scale.Unread(0, e.Rank) != p.Scale.Unread(0, before[e.Key].Rank) {
			r.Errorf("%s: the rank was %v and is %v", e.Key, before[e.Key].Rank, e.Rank)
		}
	}
	for i := range next.partitions {
		got := keysWhere(is, func(e place) bool { return e.partition == i })
		want := keysWhere(was, func(e place) bool { return next.locate(e.Key) == i })
		if !slices.Equal(got, want) && from == 1 {
			r.Errorf("partition %d: got %q, want %q", i, got, want)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			r.Errorf("partition %d has %q, want %q", i, got, want)
		}
		// What came from one partition keeps its order, whatever came from others.
		for j := range old.partitions {
			got := keysWhere(is, func(e place) bool { return e.partition == i && before[e.Key].partition == j })
			want := keysWhere(was, func(e place) bool { return next.locate(e.Key) == i && e.partition == j })
			if !slices.Equal(got, want) {
				r.Errorf("partition %d, from %d: got %q, want %q", i, j, got, want)
			}
		}
	}
	if from > 1 && to == 1 && p.Scale == store.Counts {
		// Ranks that count fetches mean the same everywhere.
		for i, e := range is {
			if e.Key != was[i].Key || e.Rank != was[i].Rank {
				r.Errorf("place %d: %s with rank %v, want %s with %v", i, e.Key, e.Rank, was[i].Key, was[i].Rank)
			}
		}
	}
}

// The clock of each of four partitions runs at a quarter of the speed.
func TestRanksFollowTheSpeedOfTheClock(t *testing.T) {
	storetest.AddFIFO(t)
	for _, p := range store.Policies {
		for _, c := range []struct{ from, to int }{{1, 4}, {4, 1}, {3, 2}} {
			t.Run(fmt.Sprintf("%s, %d to %d", p.Name, c.from, c.to), func(t *testing.T) {
				limits := store.Limits{MaxKeys: 800, Eviction: p.Name}
				old := newNamespace(t, c.from, limits, "old")
				for i := range 2000 {
					old.create(t, fmt.Sprint("k", i))
					if i%2 == 0 {
						old.fetch(t, fmt.Sprint("k", i/2))
						old.fetch(t, fmt.Sprint("k", i/64))
					}
				}
				next := newNamespace(t, c.to, store.Limits{MaxKeys: 8000, Eviction: p.Name}, "next")
				next.restore(t, old.export(t))
				want := make(map[string]float64)
				for _, e := range old.order(t) {
					rank, apart := e.Rank, 0.0
					if p.Window && rank < store.Edge {
						apart = store.Apart
					}
					if p.Scale != store.Counts {
						rank = (rank-apart)*float64(c.from)/float64(c.to) + apart
					}
					want[e.Key] = rank
				}
				for _, e := range next.order(t) {
					// Entries of one partition that would have equal ranks get different ones.
					if away := e.Rank - want[e.Key]; away > 1 || away < -40 {
						t.Errorf("%s has rank %v, want %v", e.Key, e.Rank, want[e.Key])
					}
				}
			})
		}
	}
}

// A valued entry must not stay longer, or leave sooner, because of another number of
// partitions.
func TestARestoredEntryIsForgottenAsSoonAsTheOriginal(t *testing.T) {
	const entries = 400
	limits := store.Limits{MaxKeys: entries, Eviction: "adaptive"}
	// lasts returns how many other keys are read until all valued ones are evicted.
	lasts := func(n *namespace) int {
		for i := 0; ; i++ {
			if i%50 == 0 && !slices.ContainsFunc(n.order(t), func(e place) bool { return strings.HasPrefix(e.Key, "valued") }) {
				return i
			}
			key := fmt.Sprint("new", i)
			n.create(t, key)
			for range 3 {
				n.fetch(t, key)
			}
		}
	}
	build := func(partitions int) *namespace {
		n := newNamespace(t, partitions, limits, "build")
		for i := range 40 {
			n.create(t, fmt.Sprint("valued", i))
			for range 8 {
				n.fetch(t, fmt.Sprint("valued", i))
			}
		}
		for i := range entries {
			n.create(t, fmt.Sprint("other", i))
			n.fetch(t, fmt.Sprint("other", i))
		}
		return n
	}
	for _, c := range []struct{ from, to int }{{1, 4}, {4, 1}} {
		exported := build(c.from).export(t)
		same := newNamespace(t, c.from, limits, "build")
		same.restore(t, exported)
		other := newNamespace(t, c.to, limits, "other")
		other.restore(t, exported)
		if a, b := lasts(same), lasts(other); float64(a) > 1.6*float64(b) || float64(b) > 1.6*float64(a) {
			t.Errorf("in %d partitions valued entries stay for %d other keys, and restored into %d for %d", c.from, a, c.to, b)
		}
	}
}

func TestEachPartitionKeepsItsMostValuedEntries(t *testing.T) {
	old := newNamespace(t, 2, thousand, "old")
	for i := range 40 {
		old.create(t, fmt.Sprint("k", i))
		for range i {
			old.fetch(t, fmt.Sprint("k", i))
		}
	}
	next := newNamespace(t, 3, store.Limits{MaxKeys: 10, Eviction: "rank"}, "next")
	counts := next.restore(t, old.export(t))
	if counts.Restored != 10 || counts.NoRoom != 30 || counts.Total != 40 {
		t.Error(counts)
	}
	for i, share := range []int{4, 3, 3} {
		got := keysWhere(next.order(t), func(e place) bool { return e.partition == i })
		want := keysWhere(old.order(t), func(e place) bool { return next.locate(e.Key) == i })
		if want = want[len(want)-share:]; !slices.Equal(got, want) {
			t.Errorf("partition %d: got %q, want %q", i, got, want)
		}
	}
}

// Among equal ranks the oldest entry is evicted first, whatever partition it was in.
func TestTheYoungestEntriesOfAllPartitionsAreKept(t *testing.T) {
	old := newNamespace(t, 2, thousand, "old")
	for i := range 40 {
		old.create(t, fmt.Sprint("k", i))
	}
	next := newNamespace(t, 1, store.Limits{MaxKeys: 10, Eviction: "rank"}, "next")
	next.restore(t, old.export(t))
	all := keysWhere(old.order(t), func(place) bool { return true })
	if got := keysWhere(next.order(t), func(place) bool { return true }); !slices.Equal(got, all[30:]) {
		t.Errorf("got %q, want %q", got, all[30:])
	}
}

// Bytes count too, and so does the text that is put before the keys.
func TestEachPartitionKeepsItsShareOfBytes(t *testing.T) {
	old := newNamespace(t, 1, thousand, "old")
	for i := 10; i < 50; i++ {
		old.create(t, fmt.Sprint("k", i)) // 3 + 12 bytes
	}
	next := newNamespace(t, 2, store.Limits{MaxKeys: 1000, MaxBytes: 2*5*(15+7) + 3, Eviction: "rank"}, "next")
	i := next.importer()
	i.Prefix = "tenant/"
	counts, err := i.File(t.Context(), open(t, old.export(t)))
	if err != nil || counts.Restored != 10 || counts.NoRoom != 30 || counts.Evicted != 0 {
		t.Errorf("%v, %v", counts, err)
	}
	for _, e := range next.order(t) {
		if next.locate(e.Key) != e.partition {
			t.Errorf("%s is in partition %d", e.Key, e.partition)
		}
	}
}

func TestAnImportGivesPartitionsTheLimitsOfTheNamespace(t *testing.T) {
	exported, err := export(t, filled(t, 20, "rank"), nil)
	if err != nil {
		t.Fatal(err)
	}
	next := newNamespace(t, 4, store.Limits{MaxKeys: 1000, Eviction: "rank"}, "next")
	// Partition 3 was never written to.
	for i := range 3 {
		apply(t, next.partitions[i], store.Limits{MaxKeys: 26, MaxBytes: 260, Eviction: "lru"}.Share(i%2, 2))
	}
	next.restore(t, exported)
	for i, st := range next.partitions {
		size, err := st.Size(t.Context())
		if want := (store.Limits{MaxKeys: 13, MaxBytes: 130, Eviction: "lru"}); err != nil || size.Limits != want {
			t.Errorf("partition %d has %+v, want %+v (%v)", i, size.Limits, want, err)
		}
	}
}

func TestAnOriginalIsSpreadInItsOrder(t *testing.T) {
	entries := func(yield func(dump.Entry, error) bool) {
		for i := range 50 {
			if !yield(dump.Entry{Key: fmt.Sprint("k", i), Rank: float64(i / 10), Value: text("v")}, nil) {
				return
			}
		}
	}
	for _, p := range store.Policies {
		next := newNamespace(t, 3, store.Limits{MaxKeys: 1000, Eviction: p.Name}, "next")
		counts, err := next.importer().Ranked(t.Context(), 50, entries, func(key string) error {
			if key == "k7" {
				return errors.New("unusable")
			}
			return nil
		})
		if err != nil || counts.Restored != 49 || counts.Unusable != 1 {
			t.Errorf("%s: %v, %v", p.Name, counts, err)
		}
		order := next.order(t)
		for i := range next.partitions {
			var want []string
			for k := range 50 {
				if key := fmt.Sprint("k", k); k != 7 && next.locate(key) == i {
					want = append(want, key)
				}
			}
			if got := keysWhere(order, func(e place) bool { return e.partition == i }); !slices.Equal(got, want) {
				t.Errorf("%s, partition %d: got %q, want %q", p.Name, i, got, want)
			}
		}
		for _, e := range order {
			if n := slices.Index([]string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k8", "k9"}, e.Key); p.Scale.Unread(0, e.Rank) != (n >= 0) {
				t.Errorf("%s: %s has rank %v", p.Name, e.Key, e.Rank)
			}
			if p.Scale != store.Counts && e.Rank < -18 {
				t.Errorf("%s: %s has rank %v, and its partition has a third of the entries", p.Name, e.Key, e.Rank)
			}
		}
	}
}

// uneven is a namespace whose partitions have many, no and few entries. One was emptied.
func uneven(t testing.TB) *namespace {
	n := newNamespace(t, 4, thousand, "uneven")
	for i := range 40 {
		key := fmt.Sprint("k", i)
		switch n.locate(key) {
		case 1:
		case 2:
			apply(t, n.partitions[2], thousand.Share(2, 4), store.Write{Op: store.Create, Key: key, Value: text("v")}, store.Write{Op: store.Delete, Key: key})
		default:
			n.create(t, key)
		}
	}
	return n
}

// small is a store with short pages.
type small struct{ *memstore.Store }

func (s small) Page(ctx context.Context, after store.Cursor, n int, o store.Order) (store.Page, error) {
	return s.Store.Page(ctx, after, min(n, 3), o)
}

func TestAnExportOfPartitionsThatWasCutOffAnywhereIsContinued(t *testing.T) {
	n := uneven(t)
	var sources []dump.Source
	for _, st := range n.partitions {
		sources = append(sources, small{st})
	}
	whole, err := exportAll(t, sources, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(whole), `{"partition":`); lines != 3 || !strings.Contains(string(whole), `{"after":`) {
		t.Fatalf("%d lines of partitions in\n%s", lines, whole)
	}
	for cut := range len(whole) {
		again, err := exportAll(t, sources, whole[:cut])
		if err != nil || !bytes.Equal(again, whole) {
			t.Fatalf("cut at %d: %v\n%s\nwant\n%s", cut, err, again, whole)
		}
	}
	c := open(t, whole).Contents
	if limits := (store.Limits{MaxKeys: c.Header.MaxKeys, MaxBytes: c.Header.MaxBytes, Eviction: c.Header.Eviction}); limits != thousand {
		t.Errorf("limits %+v, one partition was never used", limits)
	}
	restored := newNamespace(t, 1, thousand, "")
	restored.restore(t, whole)
	if got := len(restored.order(t)); got != len(n.order(t)) || got == 0 {
		t.Errorf("%d entries", got)
	}
}

func TestAnExportHasNothingThatCameLaterInAnyPartition(t *testing.T) {
	n := uneven(t)
	x := &dump.Export{Sources: n.sources(), Namespace: "n"}
	if err := x.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // also in the partition without any
		n.create(t, fmt.Sprint("later", i))
	}
	var out bytes.Buffer
	if _, err := x.Run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "later") {
		t.Error(out.String())
	}
}

func TestAnExportNoticesThatOnePartitionIsAnother(t *testing.T) {
	stores := [2]*memstore.Store{filled(t, 12, "rank"), filled(t, 30, "rank")}
	before, after := filled(t, 5, "rank"), filled(t, 5, "rank")
	t.Run("after its entries were written", func(t *testing.T) {
		// Its size is read at the begin, and at the end of all.
		exported, err := exportAll(t, []dump.Source{before, &replaced{stores: stores, from: "size", n: 1}, after}, nil)
		if !errors.Is(err, dump.ErrReplaced) || bytes.Contains(exported, []byte(`"end"`)) {
			t.Errorf("%v\n%s", err, exported)
		}
	})
	t.Run("before the file is continued", func(t *testing.T) {
		whole, err := exportAll(t, []dump.Source{before, &replaced{stores: stores}, after}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exportAll(t, []dump.Source{before, &replaced{stores: stores, at: 1}, after}, whole[:len(whole)-30]); !errors.Is(err, dump.ErrOther) {
			t.Error(err)
		}
		if _, err := exportAll(t, []dump.Source{before, &replaced{stores: stores}}, whole[:len(whole)-30]); !errors.Is(err, dump.ErrOther) {
			t.Errorf("another number of partitions: %v", err)
		}
	})
}

func TestPartitionsWithDifferentPoliciesAreNotExported(t *testing.T) {
	_, err := exportAll(t, []dump.Source{filled(t, 5, "rank"), filled(t, 5, "lru")}, nil)
	if !errors.Is(err, dump.ErrMixed) {
		t.Error(err)
	}
}

func TestANamespaceWithoutAnythingInAnyPartitionIsNone(t *testing.T) {
	n := newNamespace(t, 3, thousand, "")
	if _, err := exportAll(t, n.sources(), nil); !errors.Is(err, dump.ErrNothing) {
		t.Error(err)
	}
}
