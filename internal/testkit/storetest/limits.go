package storetest

import (
	"errors"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var limitTests = []test{
	{"the first limits stay until others are set", func(f *fixture) {
		first := store.Limits{MaxKeys: 2, MaxBytes: 100, Eviction: f.limits.Eviction}
		other := store.Limits{MaxKeys: 5, Eviction: f.limits.Eviction}
		f.limits = first
		if a := f.apply(); a.Limits != first {
			f.Errorf("in force: %+v", a.Limits)
		}
		f.limits = other
		if a := f.apply(numbered("k", 4)...); a.Limits != first || a.Keys != 2 {
			f.Errorf("in force: %+v, %d keys", a.Limits, a.Keys)
		}
		if a := f.setLimits(other); a.Limits != other {
			f.Errorf("in force: %+v", a.Limits)
		}
		f.limits = first
		if a := f.apply(numbered("l", 9)...); a.Limits != other || a.Keys != 5 {
			f.Errorf("in force: %+v, %d keys", a.Limits, a.Keys)
		}
	}},

	{"limits and writes in one batch: the limits come first", func(f *fixture) {
		f.limits = store.Limits{MaxKeys: 2, Eviction: f.limits.Eviction}
		if a := f.apply(numbered("k", 3)...); a.Keys != 2 || len(a.Evicted) != 1 {
			f.Errorf("%d keys, evicted %q", a.Keys, a.Evicted)
		}
		a := f.applyBatch(store.Batch{
			Writes:    numbered("l", 3),
			Limits:    store.Limits{MaxKeys: 4, Eviction: f.limits.Eviction},
			SetLimits: true,
		})
		if a.Keys != 4 || len(a.Evicted) != 1 {
			f.Errorf("%d keys, evicted %q", a.Keys, a.Evicted)
		}
	}},

	{"a raised limit evicts nothing", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 2, Eviction: f.limits.Eviction})
		f.apply(numbered("k", 2)...)
		a := f.setLimits(store.Limits{MaxKeys: 3, Eviction: f.limits.Eviction})
		if len(a.Evicted) != 0 || a.Over {
			f.Errorf("evicted %q, over %v", a.Evicted, a.Over)
		}
		if a := f.apply(numbered("l", 1)...); a.Keys != 3 {
			f.Errorf("%d keys", a.Keys)
		}
	}},

	{"rank, lru: a lowered limit of keys is worked off in steps, the lowest first", func(f *fixture) {
		f.fill()
		f.workOff(store.Limits{MaxKeys: 100, Eviction: f.limits.Eviction})
	}},

	{"rank, lru: a lowered limit of bytes is worked off in steps, the lowest first", func(f *fixture) {
		f.fill() // 6 bytes each
		f.workOff(store.Limits{MaxKeys: 1000, MaxBytes: 615, Eviction: f.limits.Eviction})
	}},

	{"rank, lru: a limit of bytes that no entry meets empties the store", func(f *fixture) {
		f.apply(create("a", strings.Repeat("x", 100)), create("b", strings.Repeat("x", 100)))
		a := f.setLimits(store.Limits{MaxKeys: 10, MaxBytes: 50, Eviction: f.limits.Eviction})
		f.wantKeys("evicted", a.Evicted, "a", "b")
		if a.Keys != 0 || a.Bytes != 0 || a.Over {
			f.Errorf("%d keys, %d bytes, over %v", a.Keys, a.Bytes, a.Over)
		}
	}},

	{"while a limit is worked off, creates take no more than they free", func(f *fixture) {
		f.fill()
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: f.limits.Eviction})
		before := f.apply()
		a := f.apply(numbered("new", 50)...)
		if a.Keys > before.Keys || !a.Over {
			f.Errorf("%d keys became %d, over %v", before.Keys, a.Keys, a.Over)
		}
		if most := store.TrimStep + 50; len(a.Evicted) < 50 || len(a.Evicted) > most {
			f.Errorf("50 creates evicted %d, want 50 to %d", len(a.Evicted), most)
		}
	}},

	{"while a limit is worked off, creates after deletes evict too", func(f *fixture) {
		f.fill()
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: f.limits.Eviction})
		step := f.apply()
		rows := f.order()
		writes := numbered("new", 3)
		for _, key := range rows[len(rows)-3:] {
			writes = append([]store.Write{del(key)}, writes...)
		}
		a := f.apply(writes...)
		if want := len(step.Evicted) + 3; len(a.Evicted) < want || !a.Over {
			f.Errorf("3 deletes and 3 creates evicted %d, want %d; over %v", len(a.Evicted), want, a.Over)
		}
	}},

	{"a batch whose deletes bring the store below a lowered limit leaves it there", func(f *fixture) {
		f.fill()
		f.setLimits(store.Limits{MaxKeys: 10, Eviction: f.limits.Eviction})
		var writes []store.Write
		for _, key := range f.order() {
			writes = append(writes, del(key))
		}
		writes = append(writes, numbered("new", 50)...)
		if a := f.apply(writes...); a.Keys > 10 || a.Over {
			f.Errorf("%d keys at a limit of 10, over %v", a.Keys, a.Over)
		}
	}},

	{"while bytes are worked off, puts take no more than they free", func(f *fixture) {
		f.fill()
		f.setLimits(store.Limits{MaxKeys: 1000, MaxBytes: 600, Eviction: f.limits.Eviction})
		rows := f.order()
		before := f.apply()
		a := f.apply(put(rows[len(rows)-1], strings.Repeat("x", 90)), create("new", strings.Repeat("x", 90)))
		if a.Bytes > before.Bytes || !a.Over {
			f.Errorf("%d bytes became %d, over %v", before.Bytes, a.Bytes, a.Over)
		}
		for i, want := range []store.Outcome{store.Replaced, store.Created} {
			if a.Results[i].Outcome != want {
				f.Errorf("write %d: %+v, want outcome %d", i, a.Results[i], want)
			}
		}
	}},

	{"an unknown policy is an error that names it, and changes nothing", func(f *fixture) {
		bad := store.Limits{MaxKeys: 1, Eviction: "roulette"}
		for _, b := range []store.Batch{
			{Limits: bad, Writes: numbered("k", 1)}, // the first limits ever
			{Limits: bad, Writes: numbered("k", 1), SetLimits: true},
		} {
			_, err := f.Store.Apply(f.ctx(), b)
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "roulette") {
				f.Errorf("got %v", err)
			}
		}
		a := f.apply(numbered("k", 2)...)
		if a.Limits != f.limits || a.Keys != 2 {
			f.Fatalf("in force: %+v, %d keys", a.Limits, a.Keys)
		}
		before := f.inspect()
		if _, err := f.Store.Apply(f.ctx(), store.Batch{Limits: bad, SetLimits: true}); !errors.Is(err, store.ErrUnavailable) {
			f.Errorf("got %v", err)
		}
		f.sameRows(before)
		if a := f.apply(); a.Limits != f.limits {
			f.Errorf("in force: %+v", a.Limits)
		}
	}},
}

// fill creates MaxBatch entries of 6 bytes and raises every third.
func (f *fixture) fill() {
	f.Helper()
	writes := numbered("k", store.MaxBatch)
	f.apply(writes...)
	var keys []string
	for i := 0; i < len(writes); i += 3 {
		keys = append(keys, writes[i].Key)
	}
	f.fetch(keys...)
}

// workOff lowers the limits, and applies empty batches until the store meets them.
func (f *fixture) workOff(l store.Limits) {
	f.Helper()
	left := f.order()
	number := f.apply().Number
	over := func(a store.Applied) bool {
		return a.Keys > l.MaxKeys || l.MaxBytes > 0 && a.Bytes > l.MaxBytes
	}
	for a := f.setLimits(l); ; a = f.apply() {
		n := len(a.Evicted)
		if n == 0 || n > store.TrimStep {
			f.Fatalf("a step of %d, want 1 to %d", n, store.TrimStep)
		}
		f.wantKeys("evicted in a step", a.Evicted, left[:n]...)
		left = left[n:]
		if a.Keys != len(left) || a.Over != over(a) {
			f.Fatalf("%d keys, %d bytes, over %v; %d should be left", a.Keys, a.Bytes, a.Over, len(left))
		}
		if a.Number < number {
			f.Fatalf("the number fell from %d to %d", number, a.Number)
		}
		number = a.Number
		if !a.Over {
			break
		}
	}
	f.wantKeys("left", f.order(), left...)
	a := f.apply()
	if len(a.Evicted) != 0 || a.Over {
		f.Errorf("evicted %q once more", a.Evicted)
	}
	// No step evicted too much: with one more entry, the store would exceed the limits.
	if a.Keys < l.MaxKeys && (l.MaxBytes == 0 || a.Bytes+6 <= l.MaxBytes) {
		f.Errorf("%d keys and %d bytes are left, though %+v", a.Keys, a.Bytes, l)
	}
}
