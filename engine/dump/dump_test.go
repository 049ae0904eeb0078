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

// filled returns a store with so many entries, of which every third was read.
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

// export exports all of st, or what is missing from what had been exported.
func export(t testing.TB, st dump.Source, had []byte) ([]byte, error) {
	t.Helper()
	x := &dump.Export{Source: st, Namespace: "n"}
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

// restored returns a new store with what was exported.
func restored(t testing.TB, exported []byte) *memstore.Store {
	t.Helper()
	st := memstore.New()
	t.Cleanup(func() { _ = st.Close() })
	i := &dump.Import{Target: st, Limits: open(t, exported).Limits()}
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

func TestAnExportThatWasCutOffAnywhereIsContinued(t *testing.T) {
	st := filled(t, 12, "rank") // one page anyway
	whole, err := export(t, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		again, err := export(t, st, whole[:cut])
		if err != nil || !bytes.Equal(again, whole) {
			t.Fatalf("cut at %d: %v\n%s\nwant\n%s", cut, err, again, whole)
		}
	}
}

// moving is a store that changes while it is exported.
type moving struct {
	*memstore.Store
	before func(call int)
	calls  int
}

func (m *moving) Page(ctx context.Context, after store.Cursor, n int, o store.Order) (store.Page, error) {
	m.before(m.calls)
	m.calls++
	return m.Store.Page(ctx, after, min(n, 5), o)
}

func TestWhatStaysDuringAnExportIsInItOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		st := filled(t, 30, "rank")
		stays := make(map[string]bool)
		for i := range 30 {
			stays[fmt.Sprint("k", i)] = true
		}
		key := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint("k", rapid.IntRange(0, 29).Draw(r, "key")) })
		m := &moving{Store: st, before: func(call int) {
			for range rapid.IntRange(0, 6).Draw(r, "changes") {
				k := key.Draw(r, "k")
				switch rapid.IntRange(0, 3).Draw(r, "what") {
				case 0:
					fetch(t, st, k)
				case 1:
					apply(t, st, thousand, store.Write{Op: store.Put, Key: k, Value: text("new")})
				case 2:
					apply(t, st, thousand, store.Write{Op: store.Delete, Key: k})
					delete(stays, k)
				default:
					apply(t, st, thousand, store.Write{Op: store.Create, Key: fmt.Sprint("new", call), Value: text("new")})
				}
			}
		}}
		exported, err := export(t, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(r, "interrupted") {
			cut := rapid.IntRange(0, len(exported)-1).Draw(r, "cut")
			if exported, err = export(t, m, exported[:cut]); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[string]int)
		for _, k := range order(t, restored(t, exported)) {
			name, _, _ := strings.Cut(k, " ")
			seen[name]++
		}
		if got := bytes.Count(exported, []byte(`{"key":`)); got != len(seen) {
			r.Errorf("%d lines for %d keys", got, len(seen))
		}
		for k := range stays {
			if seen[k] != 1 {
				r.Errorf("%s is there %d times", k, seen[k])
			}
		}
	})
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
			return // what it learned is not in the file
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

func TestUnderAnotherPolicyTheOrderIsKeptAndWhatWasRead(t *testing.T) {
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
				i := &dump.Import{Target: st, Limits: limits}
				if _, err := i.File(t.Context(), open(t, exported)); err != nil {
					t.Fatal(err)
				}
				names := func(st *memstore.Store) (names []string) {
					for _, r := range st.Order(-1) {
						names = append(names, r.Key)
					}
					return names
				}
				// Counts have no order for times but whether there was a use.
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

func TestAnExportOfAnotherStoreIsNotContinued(t *testing.T) {
	whole, err := export(t, filled(t, 10, "rank"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export(t, filled(t, 3, "rank"), whole[:len(whole)-30]); !errors.Is(err, dump.ErrOther) {
		t.Error(err)
	}
	if _, err := export(t, filled(t, 10, "rank"), bytes.Replace(whole[:len(whole)-30], []byte(`"n"`), []byte(`"m"`), 1)); !errors.Is(err, dump.ErrOther) {
		t.Error(err)
	}
	if _, err := export(t, memstore.New(), nil); !errors.Is(err, dump.ErrNothing) {
		t.Error(err)
	}
}

// A file of somebody else must not be taken for the begin of an export, of which
// nothing would be kept.
func TestAnExportIsNotContinuedInAFileThatIsNone(t *testing.T) {
	for name, c := range map[string]struct{ had, want string }{
		"notes":           {"milk, eggs", `the file is not an export: expected {"redis_proxy_export":`},
		"other JSON":      {`{"redis": 1}`, "the file is not an export: expected"},
		"lines":           {"milk\neggs\n", "the file is not an export: expected"},
		"a marked export": {"\ufeff" + `{"redis_proxy_export":1}` + "\n", "the file is not an export: it begins with a byte order mark"},
		"gzip":            {"\x1f\x8b\x08", "the file is not an export: it is compressed with gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := export(t, filled(t, 3, "rank"), []byte(c.had)); err == nil || !strings.HasPrefix(err.Error(), "line 1: "+c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// replaced is a store that is emptied and filled anew: another one answers from
// a call on. Each has the epoch of its own that a Redis would have.
type replaced struct {
	stores [2]*memstore.Store
	from   string // the call
	n      int    // how often it comes before
	at     int    // the store that answers
}

func (r *replaced) call(name string) *memstore.Store {
	if name == r.from {
		if r.n--; r.n < 0 {
			r.at = 1
		}
	}
	return r.stores[r.at]
}

func (r *replaced) epoch() string { return fmt.Sprint("epoch", r.at) }

func (r *replaced) Size(ctx context.Context) (store.Size, error) {
	size, err := r.call("size").Size(ctx)
	size.Epoch = r.epoch()
	return size, err
}

func (r *replaced) Page(ctx context.Context, after store.Cursor, n int, o store.Order) (store.Page, error) {
	page, err := r.call("page").Page(ctx, after, min(n, 5), o)
	page.Epoch = r.epoch()
	return page, err
}

func (r *replaced) Look(ctx context.Context, key string) (*store.Listed, error) {
	return r.stores[r.at].Look(ctx, key)
}

func TestAStoreThatWasEmptiedAndFilledAnewIsAnother(t *testing.T) {
	// The second one counts further than the first.
	stores := [2]*memstore.Store{filled(t, 12, "rank"), filled(t, 30, "rank")}
	t.Run("between two runs", func(t *testing.T) {
		whole, err := export(t, &replaced{stores: stores}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := export(t, &replaced{stores: stores, at: 1}, whole[:len(whole)-30]); !errors.Is(err, dump.ErrOther) {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		name, from string
		n          int
	}{{"before a page", "page", 2}, {"after the last page", "size", 1}} {
		t.Run(c.name, func(t *testing.T) {
			exported, err := export(t, &replaced{stores: stores, from: c.from, n: c.n}, nil)
			if !errors.Is(err, dump.ErrReplaced) || bytes.Contains(exported, []byte(`"end"`)) {
				t.Errorf("%v\n%s", err, exported)
			}
		})
	}
}

func TestWhatHasNoRoomIsCounted(t *testing.T) {
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
				counts, err := restore(&dump.Import{Target: st, Limits: c.limits})
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
	const head, end = `{"redis_proxy_export":1,"eviction":"rank","max_keys":9,"later":{"a":1,"a":2}}` + "\n", `{"end":true,"entries":3}` + "\n"
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
	first := &dump.Import{Target: st, Limits: thousand}
	counts, err := first.File(t.Context(), f)
	if !errors.Is(err, store.ErrFateUnknown) || counts.Restored != 500 {
		t.Errorf("%+v, %v", counts, err)
	}
	second := &dump.Import{Target: st, Limits: thousand}
	counts, err = second.File(t.Context(), f)
	if err != nil || counts.Restored != 400 || counts.Same != 500 {
		t.Errorf("%+v, %v", counts, err)
	}
	if !slices.Equal(order(t, st), order(t, old)) {
		t.Error("the order is another one")
	}
}

func TestCountsOfAnExportSaySizesThatOneCanRead(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1024 bytes (1.0 KiB)", 1 << 20: "1048576 bytes (1.0 MiB)",
		3 << 29: "1610612736 bytes (1.5 GiB)", 1 << 41: "2199023255552 bytes (2048.0 GiB)",
	} {
		c := dump.ExportCounts{Entries: 2, Total: 3, Bytes: bytes, Left: 1}
		if got := c.String(); got != "exported 2 of 3 entries, "+want+"; 1 left out, since no request can name their keys" {
			t.Errorf("%d bytes: %s", bytes, got)
		}
	}
}
