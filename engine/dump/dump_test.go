package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filled returns a store with so many entries. Every third was read.
func filled(t testing.TB, entries int, eviction string) *memstore.Store {
	t.Helper()
	st := memstore.New()
	t.Cleanup(func() { _ = st.Close() })
	for i := range entries {
		apply(t, st, store.Limits{MaxKeys: entries, Eviction: eviction}, store.Write{Op: store.Create, Key: fmt.Sprint("k", i), Value: text(strings.Repeat("v", i%7))})
		if i%3 == 0 {
			fetch(t, st, fmt.Sprint("k", i))
		}
	}
	return st
}

func text(s string) store.Value { return store.Value{Data: []byte(s), Kind: store.String} }

var thousand = store.Limits{MaxKeys: 1000, Eviction: "rank"}

func apply(t testing.TB, st store.Store, limits store.Limits, writes ...store.Write) {
	t.Helper()
	b := store.Batch{Writes: writes, Limits: limits, SetLimits: true}
	if _, err := st.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func fetch(t testing.TB, st store.Store, key string) {
	t.Helper()
	if _, err := st.Fetch(t.Context(), []string{key}, store.AnyRoom); err != nil {
		t.Fatal(err)
	}
}

// export exports all of st, or the rest after the part that was exported before.
func export(t testing.TB, st dump.Source, had []byte) ([]byte, error) {
	t.Helper()
	return exportAll(t, []dump.Source{st}, had)
}

// exportAll is export for a namespace with partitions.
func exportAll(t testing.TB, partitions []dump.Source, had []byte) ([]byte, error) {
	t.Helper()
	x := &dump.Export{Sources: partitions, Namespace: "n"}
	if err := x.Begin(t.Context()); err != nil {
		return nil, err
	}
	c, err := x.Resume(bytes.NewReader(had))
	if err != nil {
		return nil, err
	}
	if c.IsWhole {
		return had, nil
	}
	out := bytes.NewBuffer(slices.Clone(had[:c.End]))
	_, err = x.Run(t.Context(), out)
	return out.Bytes(), err
}

// open reads an export that must be right.
func open(t testing.TB, exported []byte) *dump.File {
	t.Helper()
	f, err := dump.Open(bytes.NewReader(exported), int64(len(exported)), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, exported)
	}
	return f
}

// restored returns a new store with the exported entries.
func restored(t testing.TB, exported []byte) *memstore.Store {
	t.Helper()
	st := memstore.New()
	t.Cleanup(func() { _ = st.Close() })
	i := &dump.Import{Targets: []dump.Target{st}, Limits: open(t, exported).Limits()}
	if _, err := i.File(t.Context(), open(t, exported)); err != nil {
		t.Fatal(err)
	}
	return st
}

// order shows the keys with their ranks, in eviction order.
func order(t testing.TB, st store.Store) (keys []string) {
	t.Helper()
	page, err := st.Page(t.Context(), "", store.MaxBatch, store.Next)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range page.Entries {
		keys = append(keys, fmt.Sprint(l.Key, " ", l.Rank))
	}
	return keys
}

func TestARestoredStoreGoesOnAsTheOldOne(t *testing.T) {
	for _, p := range store.Policies {
		t.Run(p.Name, func(t *testing.T) { goesOn(t, p.Name) })
	}
}

func goesOn(t *testing.T, eviction string) {
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint("k", rapid.IntRange(0, 29).Draw(r, "key")) })
		old := filled(t, 20, eviction)
		for range rapid.IntRange(0, 20).Draw(r, "reads") {
			fetch(t, old, key.Draw(r, "k"))
		}
		exported, err := export(t, old, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := restored(t, exported)
		if got, want := order(t, next), order(t, old); !slices.Equal(got, want) {
			r.Fatalf("got %v\nwant %v", got, want)
		}
		if eviction == "adaptive" {
			return // the file does not have the state that it learned
		}
		for range rapid.IntRange(0, 40).Draw(r, "steps") {
			k, isRead := key.Draw(r, "k"), rapid.Bool().Draw(r, "read")
			for _, st := range []store.Store{old, next} {
				if isRead {
					fetch(t, st, k)
				} else {
					apply(t, st, store.Limits{MaxKeys: 20, Eviction: eviction}, store.Write{Op: store.Create, Key: k, Value: text("v")})
				}
			}
			if got, want := order(t, next), order(t, old); !slices.Equal(got, want) {
				r.Fatalf("got %v\nwant %v", got, want)
			}
		}
	})
}

func TestAnotherPolicyKeepsTheOrderAndTheReadEntries(t *testing.T) {
	storetest.AddFIFO(t)
	for _, from := range store.Policies {
		for _, to := range store.Policies {
			if from.Name == to.Name {
				continue
			}
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				old := filled(t, 10, from.Name)
				exported, err := export(t, old, nil)
				if err != nil {
					t.Fatal(err)
				}
				st := memstore.New()
				defer st.Close()
				limits := store.Limits{MaxKeys: 10, Eviction: to.Name}
				i := &dump.Import{Targets: []dump.Target{st}, Limits: limits}
				if _, err := i.File(t.Context(), open(t, exported)); err != nil {
					t.Fatal(err)
				}
				names := func(st *memstore.Store) (names []string) {
					for _, r := range st.Order(-1) {
						names = append(names, r.Key)
					}
					return names
				}
				// Of times, Counts keep only whether there was a use, not their order.
				if got, want := names(st), names(old); to.Scale != store.Counts && !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				limits.MaxKeys = 1
				a, err := st.Apply(t.Context(), store.Batch{Limits: limits, SetLimits: true})
				if err != nil {
					t.Fatal(err)
				}
				unread := a.EvictedUnread
				if last := names(st)[0]; !slices.Contains([]string{"k0", "k3", "k6", "k9"}, last) {
					unread++
				}
				if unread != 6 {
					t.Errorf("%d were never read, want 6", unread)
				}
			})
		}
	}
}

func TestEntriesWithoutRoomAreCounted(t *testing.T) {
	// Keys have two bytes, and values the sizes below. The entries are evicted in this
	// order.
	old := memstore.New()
	defer old.Close()
	for i, size := range []int{8, 8, 98, 8, 8, 8} {
		apply(t, old, thousand, store.Write{Op: store.Create, Key: fmt.Sprint("k", i), Value: text(strings.Repeat("v", size))})
	}
	for i := range 6 {
		for range i {
			fetch(t, old, fmt.Sprint("k", i))
		}
	}
	exported, err := export(t, old, nil)
	if err != nil {
		t.Fatal(err)
	}
	entries := func(yield func(dump.Entry, error) bool) {
		for i, size := range []int{8, 8, 98, 8, 8, 8} {
			if !yield(dump.Entry{Key: fmt.Sprint("k", i), Rank: float64(i), Value: text(strings.Repeat("v", size))}, nil) {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		limits store.Limits
		there  int // entries without a rank
		want   string
		remain []string
	}{
		{"all has", thousand, 0, "6 restored", []string{"k0 0", "k1 1", "k2 2", "k3 3", "k4 4", "k5 5"}},
		{"too few keys", store.Limits{MaxKeys: 2, Eviction: "rank"}, 0, "2 restored, 4 have no room", []string{"k4 4", "k5 5"}},
		{"too few bytes", store.Limits{MaxKeys: 9, MaxBytes: 25, Eviction: "rank"}, 0, "2 restored, 4 have no room", []string{"k4 4", "k5 5"}},
		{"one is larger than all", store.Limits{MaxKeys: 9, MaxBytes: 45, Eviction: "rank"}, 0, "4 restored, 2 have no room", []string{"k1 1", "k3 3", "k4 4", "k5 5"}},
		{"others are evicted", store.Limits{MaxKeys: 7, Eviction: "rank"}, 2, "6 restored, 1 were evicted for them", []string{"k0 0", "k1 1", "k2 2", "k3 3", "k4 4", "k5 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for source, restore := range map[string]func(i *dump.Import) (dump.ImportCounts, error){
				"a file": func(i *dump.Import) (dump.ImportCounts, error) { return i.File(t.Context(), open(t, exported)) },
				"the original": func(i *dump.Import) (dump.ImportCounts, error) {
					return i.Ranked(t.Context(), 6, entries, func(string) error { return nil })
				},
			} {
				st := memstore.New()
				defer st.Close()
				for n := range c.there {
					apply(t, st, c.limits, store.Write{Op: store.Create, Key: fmt.Sprint("there", n), Value: text("")})
				}
				counts, err := restore(&dump.Import{Targets: []dump.Target{st}, Limits: c.limits})
				if err != nil || !strings.HasSuffix(counts.String(), "imported 6 of 6 entries: "+c.want) {
					t.Errorf("from %s: %v, %v", source, counts, err)
				}
				remain := slices.DeleteFunc(order(t, st), func(s string) bool { return strings.HasPrefix(s, "there") })
				if !slices.Equal(remain, c.remain) {
					t.Errorf("from %s: %v remain, want %v", source, remain, c.remain)
				}
			}
		})
	}
}

func TestEscapesThatAreUnicodeAreRead(t *testing.T) {
	const head, end = `{"redis_proxy_export":3,"eviction":"rank","max_keys":9,"later":{"a":1,"a":2}}` + "\n", `{"end":true,"entries":3}` + "\n"
	st := restored(t, []byte(head+
		`{"key":"\ud83d\uDE00","value":"\\ud83d \u0041\ufffd\ud83d\ude00"}`+"\n"+
		`{"key":"json","value":{"half":"\ud800","twice":1,"twice":2}}`+"\n"+
		`{"key":"raw","base64":"","content_type":"text/plain;\tcharset=x"}`+"\n"+end))
	for key, want := range map[string]string{"😀": `\ud83d A` + "\ufffd😀", "json": `{"half":"\ud800","twice":1,"twice":2}`} {
		if got, err := st.Look(t.Context(), key); err != nil || got == nil || string(got.Entry.Data) != want {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
}

// limping is a store whose calls fail at times.
type limping struct {
	*memstore.Store
	applies int
}

func (l *limping) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	l.applies++
	if l.applies == 2 {
		return store.Applied{}, store.ErrFateUnknown
	}
	return l.Store.Apply(ctx, b)
}

func TestAnImportThatFailedIsRepeated(t *testing.T) {
	old := filled(t, 900, "rank") // two batches
	exported, err := export(t, old, nil)
	if err != nil {
		t.Fatal(err)
	}
	// From a file, as the command does.
	path := filepath.Join(t.TempDir(), "export")
	if err := os.WriteFile(path, exported, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f, err := dump.Open(file, int64(len(exported)), nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &limping{Store: memstore.New()}
	defer st.Close()
	first := &dump.Import{Targets: []dump.Target{st}, Limits: thousand}
	counts, err := first.File(t.Context(), f)
	if !errors.Is(err, store.ErrFateUnknown) || counts.Restored != 500 {
		t.Errorf("%+v, %v", counts, err)
	}
	second := &dump.Import{Targets: []dump.Target{st}, Limits: thousand}
	counts, err = second.File(t.Context(), f)
	if err != nil || counts.Restored != 400 || counts.Same != 500 {
		t.Errorf("%+v, %v", counts, err)
	}
	if !slices.Equal(order(t, st), order(t, old)) {
		t.Error("the order is another one")
	}
}
