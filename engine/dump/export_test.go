package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

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

// replaced is a store that is emptied and filled anew: from one call on, another
// store answers. Each has its own epoch, as in Redis.
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

func TestAnExportHasEachRemainingEntryOnce(t *testing.T) {
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

// A file that is no export must not count as the beginning of one: the export would
// overwrite it.
func TestAnExportIsNotContinuedInAFileThatIsNoExport(t *testing.T) {
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
