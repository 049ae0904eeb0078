package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var browseTests = []test{
	{"the size has the stored keys and bytes and the limits", func(f *fixture) {
		if got := f.size(); got != (store.Size{}) {
			f.Errorf("before the first batch: %+v", got)
		}
		f.setLimits(store.Limits{MaxKeys: 3, MaxBytes: 1000, Eviction: f.limits.Eviction})
		f.apply(create("a", "1"), create("b", "22"), put("a", "333"))
		first := f.size()
		// A store that is not emptied has one epoch, or none.
		want := store.Size{Keys: 2, Bytes: 7, Limits: f.limits, Number: 3, Epoch: first.Epoch}
		if first != want {
			f.Errorf("%+v, want %+v", first, want)
		}
		f.apply(del("a"), del("b"))
		want = store.Size{Limits: f.limits, Number: 5, Epoch: first.Epoch}
		if got := f.size(); got != want {
			f.Errorf("of an emptied store: %+v, want %+v", got, want)
		}
	}},

	{"pages are in eviction order, or the reverse", func(f *fixture) {
		f.apply(numbered("k", 9)...)
		f.fetch("k0000", "k0003", "k0004")
		f.fetch("k0003")
		order := f.order()
		reversed := slices.Clone(order)
		slices.Reverse(reversed)
		for _, n := range []int{1, 2, 3, 8, 9, 10, store.MaxBatch} {
			f.wantKeys(fmt.Sprint("next, by ", n), f.pages(n, store.Next, nil), order...)
			f.wantKeys(fmt.Sprint("valued, by ", n), f.pages(n, store.Valued, nil), reversed...)
		}
	}},

	{"rank: a page says all of an entry but its value", func(f *fixture) {
		v := store.Value{Data: []byte("<svg/>"), Kind: store.Raw, ContentType: "image/svg+xml"}
		raw := f.write(store.Write{Op: store.Create, Key: "logo", Value: v}, store.Created)
		f.apply(create("b", "12"), create("c", "1"))
		f.fetch("logo")
		f.fetch("logo")
		page := f.page("", 2, store.Valued)
		if len(page.Entries) != 2 {
			f.Fatalf("%+v", page)
		}
		got := page.Entries[0]
		want := store.Entry{Value: store.Value{Kind: store.Raw, ContentType: v.ContentType}, Version: raw.Version}
		if got.Key != "logo" || got.Rank != 2 || got.Age != 2 || got.Size != 10 ||
			len(got.Entry.Data) != 0 || got.Entry.Kind != want.Kind || got.Entry.ContentType != want.ContentType || got.Entry.Version != want.Version {
			f.Errorf("%+v, entry %+v", got, got.Entry)
		}
		if got := page.Number - got.Age; got != raw.Version.Number {
			f.Errorf("created by write %d, want %d", got, raw.Version.Number)
		}
		if got := page.Entries[1]; got.Key != "c" || got.Rank != 0 || got.Age != 0 || got.Size != 2 || got.Entry.Kind != store.String {
			f.Errorf("%+v, entry %+v", got, got.Entry)
		}
	}},

	{"rank: a look says all of an entry", func(f *fixture) {
		if got := f.look("none"); got != nil {
			f.Errorf("of a new store: %+v", got)
		}
		f.apply(create("a", "1"), create("b", "22"))
		f.fetch("b")
		f.apply(put("b", "333"), create("c", "1"), create("d", "1"))
		got := f.look("b")
		if got == nil || got.Key != "b" || got.Rank != 1 || got.Age != 3 || got.Size != 4 {
			f.Fatalf("%+v", got)
		}
		stored := f.value("b")
		if string(got.Entry.Data) != "333" || got.Entry.Kind != store.String || got.Entry.Version != stored.Version {
			f.Errorf("%+v, want %+v", got.Entry, stored)
		}
		if got := f.look("none"); got != nil {
			f.Errorf("of an absent key: %+v", got)
		}
	}},

	{"rank: the age is the number of insertions since", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 5, Eviction: f.limits.Eviction})
		f.apply(create("old", "1"))
		f.fetch("old")
		f.apply(numbered("k", 20)...)
		if got := f.look("old"); got == nil || got.Age != 20 {
			f.Errorf("%+v", got)
		}
		var ages []uint64
		for _, e := range f.page("", 10, store.Next).Entries {
			ages = append(ages, e.Age)
		}
		if !slices.Equal(ages, []uint64{3, 2, 1, 0, 20}) {
			f.Errorf("ages %v", ages)
		}
	}},

	{"browsing raises nothing", func(f *fixture) {
		f.apply(numbered("k", 5)...)
		f.fetch("k0001")
		before := f.inspect()
		f.pages(2, store.Next, nil)
		f.pages(2, store.Valued, nil)
		f.look("k0000")
		f.scan("k")
		f.size()
		f.sameRows(before)
	}},

	{"rank: a cursor stays good while entries come, go and move", func(f *fixture) {
		f.apply(numbered("k", 12)...)
		changes := []func(){
			func() { f.apply(del("k0003")) },     // the place itself
			func() { f.fetch("k0001", "k0007") }, // one before and one behind the place move to the end
			func() { f.apply(create("new", "1")) },
			func() { f.apply(del("k0000"), del("k0011")) },
		}
		step := 0
		got := f.pages(4, store.Next, func() {
			if step < len(changes) {
				changes[step]()
			}
			step++
		})
		// k0001 was listed before it moved, and is listed again at its new place.
		f.wantKeys("met", got,
			"k0000", "k0001", "k0002", "k0003", "k0004", "k0005", "k0006", "k0007",
			"k0008", "k0009", "k0010", "k0011", "new", "k0001", "k0007")
		if step < 3 {
			f.Errorf("%d pages", step)
		}
	}},

	{"rank, lru: a cursor stays good in the reverse order", func(f *fixture) {
		f.apply(numbered("k", 6)...)
		first := f.page("", 2, store.Valued)
		f.fetch("k0000")
		f.apply(del("k0004"), create("new", "1"))
		second := f.page(first.Next, 2, store.Valued)
		third := f.page(second.Next, 2, store.Valued)
		f.wantKeys("first", keysListed(first), "k0005", "k0004")
		f.wantKeys("second", keysListed(second), "k0003", "k0002")
		f.wantKeys("third", keysListed(third), "k0001")
		if third.Next != "" {
			f.Error("there is more")
		}
	}},

	{"many entries of equal rank are paged through by age", func(f *fixture) {
		f.fill()
		f.apply(numbered("l", store.MaxBatch)...)
		f.wantKeys("listed", f.pages(700, store.Next, nil), f.order()...)
	}},

	{"a string that is no cursor is an error", func(f *fixture) {
		f.apply(create("a", "1"))
		for _, c := range []store.Cursor{"x", "!!", "MQ", "eCAx", "TmFOIDE", store.NewCursor(1, 2)[:3]} {
			if _, err := f.Store.Page(f.ctx(), c, 1, store.Next); !errors.Is(err, store.ErrCursor) {
				f.Errorf("%q: %v", c, err)
			}
		}
		if _, err := f.Store.Page(f.ctx(), "", store.MaxBatch+1, store.Next); !errors.Is(err, store.ErrUnavailable) {
			f.Errorf("too many at once: %v", err)
		}
	}},

	{"a scan meets every key that begins with the prefix, taken literally", func(f *fixture) {
		f.fill()
		f.apply(create("a*", "1"), create("a*b", "1"), create("ab", "1"), create("[x]é", "1"), create("?", "1"))
		for _, tt := range []struct {
			prefix string
			want   []string
		}{
			{"a*", []string{"a*", "a*b"}},
			{"[x]", []string{"[x]é"}},
			{"?", []string{"?"}},
			{"none", nil},
		} {
			f.wantKeys(tt.prefix, f.scan(tt.prefix), tt.want...)
		}
		all := f.order()
		slices.Sort(all)
		f.wantKeys("all", f.scan(""), all...)
	}},

	{"a probe finds nothing wrong, and changes nothing", func(f *fixture) {
		if got := f.Store.Probe(f.ctx(), store.InMemory); got != (store.Health{}) {
			f.Errorf("before the first batch: %+v", got)
		}
		if got := f.size(); got != (store.Size{}) {
			f.Errorf("a probe made the size %+v", got)
		}
		f.apply(create("a", "1"), create("b", "2"))
		f.fetch("b")
		size, order := f.size(), f.order()
		if got := f.Store.Probe(f.ctx(), store.InMemory); got != (store.Health{}) {
			f.Errorf("%+v", got)
		}
		if f.size() != size || !slices.Equal(f.order(), order) {
			f.Errorf("%+v became %+v, %v became %v", size, f.size(), order, f.order())
		}
	}},

	{"nobody browses in a closed store, or once the context is done", func(f *fixture) {
		f.apply(create("a", "1"))
		done, cancel := context.WithDeadline(f.Context(), time.Unix(0, 0))
		defer cancel()
		browse := func(ctx context.Context, want error) {
			f.Helper()
			_, size := f.Store.Size(ctx)
			_, page := f.Store.Page(ctx, "", 1, store.Next)
			_, look := f.Store.Look(ctx, "a")
			_, _, scan := f.Store.Scan(ctx, "", "", store.MaxBatch)
			health := f.Store.Probe(ctx, store.InMemory)
			for i, err := range []error{size, page, look, scan, health.Reads, health.Writes} {
				if !errors.Is(err, want) {
					f.Errorf("call %d: %v, want %v", i, err, want)
				}
			}
		}
		browse(done, store.ErrUnavailable)
		f.Store.Close()
		browse(f.ctx(), store.ErrClosed)
	}},

	{"a scan meets the entries that stay while others come and go", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 2000, Eviction: f.limits.Eviction})
		f.apply(numbered("stays", 600)...)
		for _, n := range []int{3, 100, store.MaxBatch} {
			met := map[string]bool{}
			step := 0
			for after := ""; ; step++ {
				keys, next, err := f.Store.Scan(f.ctx(), "stays", after, n)
				if err != nil {
					f.Fatal(err)
				}
				if len(keys) > n {
					f.Fatalf("%d keys, where %d are the most", len(keys), n)
				}
				for _, key := range keys {
					met[key] = true
				}
				if after = next; after == "" {
					break
				}
				if step%(1+50/n) == 0 {
					others := numbered("comes", 800)
					f.apply(others...)
					f.fetch("stays0000")
					for i := range others[:700] {
						others[i] = del(others[i].Key)
					}
					f.apply(others[:700]...)
				}
				if step > 5000 {
					f.Fatal("no end")
				}
			}
			if len(met) != 600 {
				f.Errorf("met %d of 600, %d at once", len(met), n)
			}
		}
	}},

	{"a scan of few keys at once returns each of them once", func(f *fixture) {
		for _, many := range []int{0, 1, 12, 100, 600} {
			f.apply(numbered("k", many)...)
			for _, n := range []int{1, 10, 1000} {
				var all []string
				for after := ""; ; {
					keys, next, err := f.Store.Scan(f.ctx(), "k", after, n)
					if err != nil {
						f.Fatal(err)
					}
					if len(keys) > n {
						f.Fatalf("%d keys, where %d are the most", len(keys), n)
					}
					all = append(all, keys...)
					if after = next; after == "" {
						break
					}
				}
				slices.Sort(all)
				if met := slices.Compact(slices.Clone(all)); len(met) != many || len(all) != many {
					f.Errorf("%d of %d keys, %d of them different, %d at once", len(all), many, len(met), n)
				}
			}
		}
	}},

	{"a scan takes no cursor that it did not give", func(f *fixture) {
		f.apply(numbered("k", 600)...)
		_, next, err := f.Store.Scan(f.ctx(), "", "", 10)
		if err != nil || next == "" {
			f.Fatalf("%q, %v", next, err)
		}
		for _, after := range []string{"0", "garbage", ".", "..", "x.1", "1.x", next + "x", "x" + next, next + ".1"} {
			if keys, next, err := f.Store.Scan(f.ctx(), "", after, 10); !errors.Is(err, store.ErrCursor) {
				f.Errorf("%q: %d keys, %q, %v", after, len(keys), next, err)
			}
		}
		for _, n := range []int{-1, 0, store.MaxBatch + 1} {
			if _, _, err := f.Store.Scan(f.ctx(), "", "", n); !errors.Is(err, store.ErrUnavailable) {
				f.Errorf("%d at once: %v", n, err)
			}
		}
	}},
}

func (f *fixture) size() store.Size {
	f.Helper()
	size, err := f.Store.Size(f.ctx())
	if err != nil {
		f.Fatal(err)
	}
	return size
}

func (f *fixture) page(after store.Cursor, n int, order store.Order) store.Page {
	f.Helper()
	page, err := f.Store.Page(f.ctx(), after, n, order)
	if err != nil {
		f.Fatal(err)
	}
	return page
}

// pages returns the keys of all pages, and calls between after each.
func (f *fixture) pages(n int, order store.Order, between func()) []string {
	f.Helper()
	var keys []string
	for after := store.Cursor(""); ; {
		page := f.page(after, n, order)
		if len(page.Entries) > n {
			f.Fatalf("%d entries of %d asked for", len(page.Entries), n)
		}
		keys = append(keys, keysListed(page)...)
		if len(keys) > 10*store.MaxBatch {
			f.Fatal("no end")
		}
		if len(page.Entries) == 0 && after != "" && between == nil {
			f.Error("a cursor led to nothing")
		}
		if after = page.Next; after == "" {
			return keys
		}
		if between != nil {
			between()
		}
	}
}

func keysListed(page store.Page) []string {
	var keys []string
	for _, e := range page.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func (f *fixture) look(key string) *store.Listed {
	f.Helper()
	listed, err := f.Store.Look(f.ctx(), key)
	if err != nil {
		f.Fatal(err)
	}
	return listed
}

// scan returns the keys that a whole pass returns, sorted and each once.
func (f *fixture) scan(prefix string) []string {
	f.Helper()
	var all []string
	for after := ""; ; {
		keys, next, err := f.Store.Scan(f.ctx(), prefix, after, store.MaxBatch)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, keys...)
		if after = next; after == "" {
			slices.Sort(all)
			return slices.Compact(all)
		}
	}
}
