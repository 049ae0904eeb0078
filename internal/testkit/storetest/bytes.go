package storetest

import (
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var byteTests = []test{
	{"rank, lru: a create evicts until its bytes fit", func(f *fixture) {
		f.limitBytes(10)
		f.apply(create("a", "1"), create("b", "22"), create("c", "333")) // 2, 3 and 4 bytes
		a := f.apply(create("d", ""))
		if len(a.Evicted) != 0 || a.Bytes != 10 {
			f.Errorf("evicted %q, %d bytes", a.Evicted, a.Bytes)
		}
		a = f.apply(create("e", "22"))
		f.wantKeys("evicted", a.Evicted, "a", "b")
		if a.Bytes != 8 || a.Keys != 3 || a.Over {
			f.Errorf("%d bytes, %d keys, over %v", a.Bytes, a.Keys, a.Over)
		}
	}},

	{"the key counts as the value does", func(f *fixture) {
		f.limitBytes(10)
		f.write(create("12345", ""), store.Created)
		f.wantKeys("evicted", f.apply(create("123456", "")).Evicted, "12345")
	}},

	{"rank, lru: a put evicts others until it fits, the lowest first", func(f *fixture) {
		f.limitBytes(12)
		f.apply(create("a", "1"), create("b", "1"), create("c", "1"), create("d", "1"))
		f.fetch("b")
		a := f.apply(put("d", strings.Repeat("x", 7))) // 8 and 3 times 2
		f.wantKeys("evicted", a.Evicted, "a")
		f.wantKeys("order", f.order(), "c", "d", "b")
		if a.Bytes != 12 || a.Results[0].Outcome != store.Replaced {
			f.Errorf("%d bytes, %+v", a.Bytes, a.Results[0])
		}
	}},

	{"rank, lru: a put never evicts itself, even as the lowest", func(f *fixture) {
		f.limitBytes(10)
		f.apply(create("a", "1"), create("b", "1"), create("c", "1"), create("d", "1"))
		f.fetch("b", "c", "d")
		a := f.apply(put("a", "12345")) // 6 of 10
		f.wantKeys("evicted", a.Evicted, "b")
		f.wantKeys("order", f.order(), "a", "c", "d")
		a = f.apply(put("a", "123456789"))
		f.wantKeys("evicted", a.Evicted, "c", "d")
		if e := f.value("a"); string(e.Data) != "123456789" {
			f.Errorf("stored %s", describe(e.Value))
		}
	}},

	{"a put that shrinks or keeps its size evicts nothing", func(f *fixture) {
		f.limitBytes(10)
		f.apply(create("a", "1234"), create("b", "1234"))
		a := f.apply(put("a", "4321"), put("b", ""), put("b", "1234"))
		if len(a.Evicted) != 0 || a.Bytes != 10 {
			f.Errorf("evicted %q, %d bytes", a.Evicted, a.Bytes)
		}
	}},

	{"an entry that alone exceeds the limit is too large, and changes nothing", func(f *fixture) {
		f.limitBytes(10)
		f.apply(create("a", "1"), create("b", "1"))
		before := f.inspect()
		number := f.apply().Number
		for _, w := range []store.Write{
			create("c", "1234567890"),
			create(strings.Repeat("k", 11), ""),
			put("c", "1234567890"),
			put("a", "1234567890"),
		} {
			a := f.apply(w)
			if a.Results[0].Outcome != store.TooLarge || len(a.Evicted) != 0 || a.Number != number {
				f.Errorf("%c %q: %+v, evicted %q, number %d after %d",
					w.Op, w.Key, a.Results[0], a.Evicted, a.Number, number)
			}
		}
		f.sameRows(before)
	}},

	{"rank, lru: an entry of exactly the limit fits", func(f *fixture) {
		f.limitBytes(10)
		f.apply(create("a", "1"), create("b", "1"))
		a := f.apply(create("c", "123456789"))
		f.wantKeys("evicted", a.Evicted, "a", "b")
		if a.Results[0].Outcome != store.Created || a.Bytes != 10 {
			f.Errorf("%+v, %d bytes", a.Results[0], a.Bytes)
		}
	}},

	{"a conflict comes before too large", func(f *fixture) {
		f.limitBytes(10)
		f.write(create("a", "1"), store.Created)
		f.write(create("a", "1234567890"), store.Conflict)
	}},

	{"too large comes before a failed condition", func(f *fixture) {
		f.limitBytes(10)
		f.write(create("a", "1"), store.Created)
		w := put("a", "1234567890")
		w.IfNoneMatch = store.AnyVersion
		f.write(w, store.TooLarge)
	}},

	{"rank, lru: both limits hold at once", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 3, MaxBytes: 10, Eviction: f.limits.Eviction})
		f.apply(create("a", ""), create("b", ""), create("c", ""))
		f.wantKeys("evicted for keys", f.apply(create("d", "12345")).Evicted, "a")
		f.wantKeys("evicted for bytes", f.apply(create("e", "1234567")).Evicted, "b", "c", "d")
	}},

	{"without max_bytes there is no limit in bytes", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 10, Eviction: f.limits.Eviction})
		a := f.apply(create("a", strings.Repeat("x", 1<<20)), create("b", strings.Repeat("x", 1<<20)))
		if len(a.Evicted) != 0 || a.Bytes != 2<<20+2 {
			f.Errorf("evicted %q, %d bytes", a.Evicted, a.Bytes)
		}
	}},
}

func (f *fixture) limitBytes(n int64) {
	f.setLimits(store.Limits{MaxKeys: 1000, MaxBytes: n, Eviction: f.limits.Eviction})
}

// sameRows checks that the stored rows are as before.
func (f *fixture) sameRows(before []Ranked) {
	f.Helper()
	after := f.inspect()
	if len(after) != len(before) {
		f.Errorf("%d entries became %d", len(before), len(after))
		return
	}
	for i := range before {
		if after[i].String() != before[i].String() {
			f.Errorf("place %d went from %s to %s", i, before[i], after[i])
		}
	}
}
