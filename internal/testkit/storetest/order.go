package storetest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var orderTests = []test{
	{"each fetch raises the rank by one", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "1"))
		for i := range 3 {
			f.fetch("a")
			if s := f.score("a"); s != float64(i+1) {
				f.Errorf("score %v after %d fetches", s, i+1)
			}
		}
		if s := f.score("b"); s != 0 {
			f.Errorf("score %v of a key that was not fetched", s)
		}
	}},

	{"a fetch of several keys raises those that are found", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "2"), create("c", "3"))
		got := f.fetch("c", "none", "a")
		if got.Entries[1] != nil || string(got.Entries[0].Data) != "3" || string(got.Entries[2].Data) != "1" {
			f.Errorf("entries in the wrong places")
		}
		f.wantKeys("order", f.order(), "b", "a", "c")
		if f.score("a") != 1 || f.score("b") != 0 || f.score("c") != 1 {
			f.Errorf("scores %v", f.inspect())
		}
	}},

	{"a key named twice in a fetch is raised once", func(f *fixture) {
		f.apply(create("a", "1"))
		got := f.fetch("a", "a")
		if got.Entries[0] == nil || got.Entries[1] == nil {
			f.Fatal("absent")
		}
		if s := f.score("a"); s != 1 {
			f.Errorf("score %v", s)
		}
	}},

	{"a fetch that tells of uses raises by so many, before its own keys and also without any", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "1"), create("c", "1"))
		f.use([]string{"a"}, store.Use{Key: "a", Count: 5}, store.Use{Key: "none", Count: 9}, store.Use{Key: "b", Count: 2})
		f.wantKeys("order", f.order(), "c", "b", "a")
		if a, b := f.score("a"), f.score("b"); a != 6 || b != 2 {
			f.Errorf("scores %v and %v", a, b)
		}
		f.use(nil, store.Use{Key: "c", Count: 1})
		if c := f.score("c"); c != 1 {
			f.Errorf("score %v", c)
		}
	}},

	{"a fetch may tell of MaxBatch uses", func(f *fixture) {
		writes := numbered("k", store.MaxBatch)
		f.apply(writes...)
		var uses []store.Use
		for i, key := range keysOf(writes) {
			uses = append(uses, store.Use{Key: key, Count: i + 1})
		}
		f.use(keysOf(writes), uses...)
		for i, r := range f.inspect() {
			if r.Score != float64(i+2) {
				f.Fatalf("place %d: %s", i, r)
			}
		}
	}},

	{"a fetch of many keys raises each", func(f *fixture) {
		keys := keysOf(numbered("k", store.MaxBatch))
		f.apply(numbered("k", store.MaxBatch)...)
		for i, e := range f.fetch(keys...).Entries {
			if e == nil {
				f.Fatalf("%q is absent", keys[i])
			}
		}
		for _, r := range f.inspect() {
			if r.Score != 1 {
				f.Fatalf("%s", r)
			}
		}
	}},

	{"writes raise nothing", func(f *fixture) {
		f.write(create("a", "1"), store.Created)
		f.write(create("a", "1"), store.Conflict)
		f.write(put("a", "2"), store.Replaced)
		w := del("a")
		w.IfNoneMatch = store.AnyVersion
		f.write(w, store.PreconditionFailed)
		if s := f.score("a"); s != 0 {
			f.Errorf("score %v", s)
		}
	}},

	{"at equal rank the oldest is evicted first, whatever its key", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 3, Eviction: store.Rank.Name})
		f.apply(create("z", "1"), create("a", "1"), create("m", "1"))
		f.wantKeys("evicted", f.apply(create("b", "1")).Evicted, "z")
		f.wantKeys("evicted", f.apply(create("y", "1")).Evicted, "a")
		f.wantKeys("order", f.order(), "m", "b", "y")
	}},

	{"age counts from the creation, not from the last fetch", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 2, Eviction: store.Rank.Name})
		f.apply(create("old", "1"), create("young", "1"))
		f.fetch("young")
		f.fetch("old")
		f.wantKeys("order", f.order(), "old", "young")
		f.wantKeys("evicted", f.apply(create("new", "1")).Evicted, "old")
		f.wantKeys("evicted", f.apply(create("newer", "1")).Evicted, "new")
	}},

	{"age is exact for many insertions", func(f *fixture) {
		// Numbers of different lengths, in decimal and in hexadecimal.
		f.setLimits(store.Limits{MaxKeys: 1000, Eviction: store.Rank.Name})
		writes := numbered("k", 1300)
		f.apply(writes[:700]...)
		evicted := f.apply(writes[700:]...).Evicted
		f.wantKeys("evicted", evicted, keysOf(writes[:300])...)
		f.wantKeys("left", f.order(), keysOf(writes[300:])...)
	}},

	{"rank counts before age at capacity 1", func(f *fixture) { f.evictionAt(1) }},
	{"rank counts before age at capacity 2", func(f *fixture) { f.evictionAt(2) }},
	{"rank counts before age at capacity 3", func(f *fixture) { f.evictionAt(3) }},
	{"rank counts before age at capacity 1000", func(f *fixture) { f.evictionAt(1000) }},

	{"a high rank is kept for ever, also at capacity 1 if nobody creates", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: store.Rank.Name})
		f.write(create("a", "1"), store.Created)
		for range 5 {
			f.fetch("a")
		}
		for _, w := range []store.Write{create("a", "2"), put("a", "3"), del("b")} {
			if a := f.apply(w); len(a.Evicted) != 0 {
				f.Errorf("%c %q evicted %q", w.Op, w.Key, a.Evicted)
			}
		}
		// Even an entry with a high rank is evicted if it is the only one.
		f.wantKeys("evicted", f.apply(create("b", "1")).Evicted, "a")
	}},

	{"a delete makes room", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 2, Eviction: store.Rank.Name})
		f.apply(create("a", "1"), create("b", "1"))
		if a := f.apply(del("b"), create("c", "1")); len(a.Evicted) != 0 {
			f.Errorf("evicted %q", a.Evicted)
		}
		f.wantKeys("order", f.order(), "a", "c")
	}},

	{"a batch may evict what it created", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: store.Rank.Name})
		a := f.apply(create("a", "1"), create("b", "1"), create("a", "2"), create("a", "3"), create("c", "1"))
		want := []store.Outcome{store.Created, store.Created, store.Created, store.Conflict, store.Created}
		for i, res := range a.Results {
			if res.Outcome != want[i] {
				f.Errorf("write %d: outcome %d, want %d", i, res.Outcome, want[i])
			}
		}
		f.wantKeys("evicted", a.Evicted, "a", "b", "a")
		f.wantKeys("left", f.order(), "c")
		if a.Keys != 1 || a.Bytes != 2 || a.Over {
			f.Errorf("%d keys, %d bytes, over %v", a.Keys, a.Bytes, a.Over)
		}
	}},
}

// evictionAt fills a store to its capacity, and fetches the entries different numbers of
// times. Then it creates enough entries to evict all that were never fetched, and one
// more.
func (f *fixture) evictionAt(capacity int) {
	f.setLimits(store.Limits{MaxKeys: capacity, Eviction: store.Rank.Name})
	old := keysOf(numbered("old", capacity))
	f.apply(numbered("old", capacity)...)

	rank := func(i int) int { return i * 7 % 3 }
	for round := 1; round <= 2; round++ {
		var keys []string
		for i, key := range old {
			if rank(i) >= round {
				keys = append(keys, key)
			}
		}
		if len(keys) > 0 {
			f.fetch(keys...)
		}
	}

	var order []int
	for i := range old {
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	var want []string
	zeros := 0
	for _, i := range order {
		want = append(want, old[i])
		if rank(i) == 0 {
			zeros++
		}
	}
	f.wantKeys("order when full", f.order(), want...)

	for i := range zeros + 1 {
		key := fmt.Sprintf("new%04d", i)
		victim := "new0000" // now the oldest entry of rank 0
		if i < zeros {
			victim = want[i]
		}
		a := f.apply(create(key, "x"))
		f.wantKeys("evicted by "+key, a.Evicted, victim)
		if a.Keys != capacity {
			f.Fatalf("%d keys at a capacity of %d", a.Keys, capacity)
		}
	}
	news := keysOf(numbered("new", zeros+1))[1:]
	f.wantKeys("order at the end", f.order(), append(news, want[zeros:]...)...)
}

func keysOf(writes []store.Write) []string {
	keys := make([]string, len(writes))
	for i, w := range writes {
		keys[i] = w.Key
	}
	return keys
}
