package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// lasting returns w with a time to live.
func lasting(w store.Write, ttl time.Duration) store.Write {
	w.TTL = ttl
	return w
}

var expiryTests = []test{
	{"an entry is absent once its time is over", func(f *fixture) {
		f.apply(lasting(create("k", "v"), 2*time.Hour), create("stays", "v"))
		f.Advance(time.Hour)
		if got := f.fetch("k", "stays"); got.Entries[0] == nil || got.Entries[1] == nil {
			f.Fatalf("%v before its time", got.Entries)
		} else {
			wantLife(f, "k", got, 0, time.Hour)
			wantLife(f, "stays", got, 1, 0)
		}
		f.Advance(time.Hour)
		number := f.fetch("stays").Number
		if got := f.fetch("k", "stays"); got.Entries[0] != nil || got.Entries[1] == nil || got.Number != number {
			f.Errorf("%v after its time, number %d after %d", got.Entries, got.Number, number)
		}
		if l, err := f.Store.Look(f.ctx(), "k"); l != nil || err != nil {
			f.Errorf("look: %v, %v", l, err)
		}
		page, err := f.Store.Page(f.ctx(), "", 10, store.Next)
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "stays" {
			f.Errorf("page: %+v, %v", page.Entries, err)
		}
		if keys := f.scan(""); !slices.Equal(keys, []string{"stays"}) {
			f.Errorf("scan: %q", keys)
		}
	}},
	{"a fetch neither removes nor raises an expired entry", func(f *fixture) {
		f.apply(lasting(create("k", "v"), time.Hour))
		score := f.score("k")
		f.Advance(time.Hour)
		f.use([]string{"k"}, store.Use{Key: "k", Count: 3})
		if size, err := f.Store.Size(f.ctx()); err != nil || size.Keys != 1 || size.Expiring != 1 {
			f.Errorf("%+v, %v", size, err)
		}
		if now := f.score("k"); now != score {
			f.Errorf("its score went from %v to %v", score, now)
		}
	}},
	{"a batch removes what has expired, and says so", func(f *fixture) {
		f.apply(lasting(create("a", "v"), time.Hour), lasting(create("b", "v"), 2*time.Hour), create("c", "v"))
		f.Advance(time.Hour)
		a := f.apply()
		f.wantKeys("expired", a.Expired, "a")
		if a.Keys != 2 || a.Expiring != 1 || a.Due || a.Number != 4 || len(a.Evicted) != 0 {
			f.Errorf("%+v", a)
		}
		if a = f.apply(); len(a.Expired) != 0 || a.Number != 4 {
			f.Errorf("again: %+v", a)
		}
	}},
	{"an expired key is absent for every write", func(f *fixture) {
		keys := []string{"create", "put", "match", "delete"}
		for _, key := range keys {
			f.write(lasting(create(key, "old"), time.Hour), store.Created)
			f.fetch(key)
		}
		f.Advance(time.Hour)
		matched := put("match", "new")
		matched.IfMatch = store.AnyVersion
		a := f.apply(create("create", "new"), put("put", "new"), matched, del("delete"))
		for i, want := range []store.Outcome{store.Created, store.Created, store.PreconditionFailed, store.Absent} {
			if r := a.Results[i]; r.Outcome != want || want == store.PreconditionFailed && r.Version.Number != 0 {
				f.Errorf("%s: %+v, want outcome %d", keys[i], r, want)
			}
		}
		slices.Sort(a.Expired)
		f.wantKeys("expired", a.Expired, "create", "delete", "match", "put")
		f.inspect()
	}},
	{"an entry in place of an expired one begins anew", func(f *fixture) {
		f.write(lasting(create("old", "1"), time.Hour), store.Created)
		f.write(create("young", "1"), store.Created)
		f.Advance(time.Hour)
		f.write(create("old", "2"), store.Created)
		for _, r := range f.inspect() {
			if r.Key == "old" && (r.Insertion <= 2 || !r.Expires.IsZero()) {
				f.Errorf("%v", r)
			}
		}
	}},
	{"a put gives an entry a new life", func(f *fixture) {
		f.apply(lasting(create("longer", "v"), time.Hour), lasting(create("for ever", "v"), time.Hour), create("shorter", "v"))
		before := f.inspect()
		f.write(lasting(put("longer", "w"), 3*time.Hour), store.Replaced)
		f.write(put("for ever", "w"), store.Replaced)
		f.write(lasting(put("shorter", "w"), 2*time.Hour), store.Replaced)
		for i, r := range f.inspect() {
			if r.Key != before[i].Key || r.Score != before[i].Score || r.Insertion != before[i].Insertion {
				f.Errorf("%v moved: %v", before[i], r)
			}
		}
		f.Advance(2 * time.Hour)
		got := f.fetch("longer", "for ever", "shorter")
		if got.Entries[0] == nil || got.Entries[1] == nil || got.Entries[2] != nil {
			f.Errorf("%v", got.Entries)
		}
		wantLife(f, "longer", got, 0, time.Hour)
		wantLife(f, "for ever", got, 1, 0)
	}},
	{"one batch may write a key again and again", func(f *fixture) {
		a := f.apply(
			lasting(create("a", "1"), time.Hour), put("a", "2"),
			create("b", "1"), lasting(put("b", "2"), time.Hour),
			lasting(create("c", "1"), time.Hour), del("c"),
			lasting(create("d", "1"), time.Hour), del("d"), create("d", "2"),
		)
		if a.Expiring != 1 || a.Keys != 3 {
			f.Errorf("%d of %d expire", a.Expiring, a.Keys)
		}
		f.Advance(time.Hour)
		if got := f.fetch("a", "b", "d"); got.Entries[0] == nil || got.Entries[1] != nil || got.Entries[2] == nil {
			f.Errorf("%v", got.Entries)
		}
		f.inspect()
	}},
	{"what has expired makes room before any live entry is evicted", func(f *fixture) {
		f.limits.MaxKeys = 4
		f.apply(create("live", "v"), lasting(create("a", "v"), time.Hour), lasting(create("b", "v"), time.Hour), lasting(create("c", "v"), time.Hour))
		f.fetch("a")
		f.fetch("b")
		f.fetch("c")
		f.Advance(time.Hour)
		a := f.apply(create("new", "v"), create("newer", "v"), create("newest", "v"))
		if len(a.Evicted) != 0 || len(a.Expired) != 3 || a.Keys != 4 {
			f.Errorf("%+v", a)
		}
		f.inspect()
	}},
	{"what has expired makes room in bytes, too", func(f *fixture) {
		f.limits.MaxBytes = 10_000
		f.limits.MaxKeys = 100_000
		f.apply(create("live", "v"))
		var expiring []store.Write
		for i := range 900 {
			expiring = append(expiring, lasting(create(fmt.Sprintf("e%04d", i), "12345"), time.Hour))
		}
		f.apply(expiring...)
		f.Advance(time.Hour)
		a := f.apply(create("large", string(make([]byte, 9_000))))
		if len(a.Evicted) != 0 || a.Results[0].Outcome != store.Created {
			f.Errorf("%d evicted, %d expired, outcome %d", len(a.Evicted), len(a.Expired), a.Results[0].Outcome)
		}
		if f.fetch("live").Entries[0] == nil {
			f.Error("the live entry is gone")
		}
		f.inspect()
	}},
	{"a batch removes only so many expired entries, and then asks to be repeated", func(f *fixture) {
		f.limits.MaxBytes, f.limits.MaxKeys = 300_000, 100_000
		const tiny = 20_000
		for n := 0; n < tiny; n += 1000 {
			writes := numbered(fmt.Sprintf("e%05d", n), 1000)
			for i := range writes {
				writes[i].TTL = time.Hour
			}
			f.apply(writes...)
		}
		f.write(create("live", "v"), store.Created)
		f.Advance(time.Hour)
		var large []store.Write
		for i := range 30 {
			large = append(large, create(fmt.Sprintf("large%d", i), string(make([]byte, 8000))))
		}
		created := 0
		for range 2 * tiny / 1200 {
			a := f.apply(large...)
			if n := len(a.Expired); n > 1000+2*store.TrimStep || len(a.Evicted) > 0 {
				f.Fatalf("%d expired, %d evicted", n, len(a.Evicted))
			}
			var again []store.Write
			for i, r := range a.Results {
				switch r.Outcome {
				case store.Created:
					created++
				case store.TooMuchAtOnce:
					again = append(again, large[i])
				default:
					f.Fatalf("%+v", r)
				}
			}
			if large = again; len(large) == 0 {
				break
			}
		}
		if got := f.fetch("live"); created != 30 || got.Entries[0] == nil {
			f.Errorf("%d created, live %v", created, got.Entries[0])
		}
		f.inspect()
	}},
	{"an entry may expire in the far future", func(f *fixture) {
		far := restore("k", "v", 0)
		far.Expires = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		f.write(far, store.Created)
		got := f.fetch("k")
		if got.Entries[0] == nil || got.Expires == nil || time.Until(got.Expires[0]) < 50*365*24*time.Hour {
			f.Errorf("%v, expires %v", got.Entries[0], got.Expires)
		}
	}},
	{"expired entries are removed in bounded steps", func(f *fixture) {
		f.limits.MaxKeys = 1000
		for _, prefix := range []string{"a", "b", "c"} {
			writes := numbered(prefix, 300)
			for i := range writes {
				writes[i].TTL = time.Hour
			}
			f.apply(writes...)
		}
		f.write(create("live", "v"), store.Created)
		f.Advance(time.Hour)
		left := 900
		for left > 0 {
			a := f.apply()
			if n := len(a.Expired); n != min(left, store.TrimStep) {
				f.Fatalf("%d at once, of %d", n, left)
			}
			left -= len(a.Expired)
			if a.Due != (left > 0) || a.Expiring != left {
				f.Fatalf("%d left: due %v, expiring %d", left, a.Due, a.Expiring)
			}
		}
		if got := f.order(); len(got) != 1 {
			f.Errorf("%q stayed", got)
		}
	}},
	{"a lowered limit evicts no live entry while others have expired", func(f *fixture) {
		f.apply(numbered("live", 10)...)
		for _, prefix := range []string{"a", "b"} {
			writes := numbered(prefix, 150)
			for i := range writes {
				writes[i].TTL = time.Hour
			}
			f.apply(writes...)
		}
		f.Advance(time.Hour)
		l := f.limits
		l.MaxKeys = 10
		evicted := f.setLimits(l).Evicted
		for range 3 {
			evicted = append(evicted, f.apply().Evicted...)
		}
		f.wantKeys("evicted", evicted)
		if got := f.order(); len(got) != 10 {
			f.Errorf("%d entries", len(got))
		}
	}},
	{"a restored entry lives as long as was left", func(f *fixture) {
		now := f.Now()
		r, late := restore("k", "v", 2), restore("late", "v", 2)
		r.Expires, late.Expires = now.Add(2*time.Hour), now.Add(-time.Hour)
		f.write(r, store.Created)
		f.write(late, store.Expired)
		l, err := f.Store.Look(f.ctx(), "k")
		if err != nil || l == nil || l.Expires.Sub(r.Expires).Abs() > time.Millisecond {
			f.Fatalf("%+v, %v, want it to expire at %v", l, err, r.Expires)
		}
		page, err := f.Store.Page(f.ctx(), "", 1, store.Next)
		if err != nil || !page.Entries[0].Expires.Equal(l.Expires) {
			f.Errorf("page: %+v, %v", page, err)
		}
		f.Advance(2 * time.Hour)
		if f.fetch("k").Entries[0] != nil {
			f.Error("it lives on")
		}
	}},
	{"the same value with another life is the same value", func(f *fixture) {
		f.apply(lasting(create("k", "v"), time.Hour))
		if r := f.write(create("k", "v"), store.Conflict); !r.SameValue {
			f.Error("another value")
		}
		f.write(put("k", "v"), store.Replaced)
		if r := f.write(lasting(create("k", "v"), time.Hour), store.Conflict); !r.SameValue {
			f.Error("another value after a put")
		}
	}},
	{"a content type of any form comes back beside a life", func(f *fixture) {
		for i, v := range []store.Value{text("v"), {Data: []byte("1"), Kind: store.JSON}, {Data: []byte("x"), Kind: store.Raw}, {Data: []byte("x"), Kind: store.Raw, ContentType: "text/html"}, {Data: []byte("x"), Kind: store.Raw, ContentType: `a/b; c="d"`}} {
			key := fmt.Sprint(i)
			for _, op := range []store.Op{store.Create, store.Put} {
				f.apply(store.Write{Op: op, Key: key, Value: v, TTL: time.Hour})
				if err := differ(f.value(key).Value, v); err != nil {
					f.Errorf("%c %s: %v", op, describe(v), err)
				}
			}
		}
		f.inspect()
	}},
	{"adaptive: an expired entry leaves a ghost", func(f *fixture) {
		f.apply(lasting(create("k", "v"), time.Hour), create("other", "v"))
		for range 5 {
			f.fetch("k")
		}
		f.Advance(time.Hour)
		f.apply()
		kept, err := f.Kept()
		if _, has := kept.Ghosts["k"]; !has || err != nil {
			f.Errorf("ghosts %v, %v", kept.Ghosts, err)
		}
	}},
}
