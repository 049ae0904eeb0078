package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// policyTests test the policies other than rank, and rules for all policies. orderTests
// test rank.
var policyTests = []test{
	{"lru: the entries created or fetched last stay, and a put counts nothing", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 3, Eviction: store.LRU.Name})
		f.apply(create("a", "1"), create("b", "1"), create("c", "1"))
		f.fetch("a")
		f.fetch("a")
		f.fetch("b")
		f.apply(put("c", "2"))
		f.wantKeys("order", f.order(), "c", "a", "b")
		f.wantKeys("evicted", f.apply(create("d", "1")).Evicted, "c")
		f.wantKeys("evicted", f.apply(create("e", "1")).Evicted, "a")
		f.wantKeys("order", f.order(), "b", "d", "e")
	}},

	{"lru: a fetch of several keys uses them in the order given", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 10, Eviction: store.LRU.Name})
		f.apply(numbered("k", 3)...)
		f.fetch("k0002", "none", "k0000", "k0002", "k0001")
		f.wantKeys("order", f.order(), "k0002", "k0000", "k0001")
	}},

	{"adaptive: keys that are read outlast a scan of new ones", func(f *fixture) {
		const favourites = 50
		f.setLimits(store.Limits{MaxKeys: 60, Eviction: store.Adaptive.Name})
		keys := keysOf(numbered("favourite", favourites))
		for range 4 {
			f.readThrough(keys...)
		}
		for i, w := range numbered("scanned", 600) {
			a := f.apply(w)
			if a.Results[0].Outcome != store.Created || a.Keys > 60 {
				f.Fatalf("%+v, %d keys", a.Results[0], a.Keys)
			}
			if i%60 == 59 {
				for _, key := range keys {
					if f.fetch(key).Entries[0] == nil {
						f.Fatalf("%q was evicted for the scan", key)
					}
				}
			}
		}
	}},

	{"adaptive: a key that comes again is known, though it was evicted", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 20, Eviction: store.Adaptive.Name})
		old := keysOf(numbered("old", 20))
		f.readThrough(old...)
		f.readThrough(old...)
		// A loop over 1.5 times as many keys as there is room for. lru and rank would
		// never hit.
		loop := keysOf(numbered("loop", 30))
		found := 0
		for range 40 {
			found += f.readThrough(loop...)
		}
		if found < 40*30/4 {
			f.Errorf("found %d of %d", found, 40*30)
		}
	}},

	{"adaptive: ghosts bring back keys that are asked for seldom, but again and again", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 20, Eviction: store.Adaptive.Name})
		old := keysOf(numbered("old", 20))
		f.readThrough(old...)
		f.readThrough(old...)
		// A round has more keys than there is room for. Five of them come in every
		// round; lru and rank would miss them.
		again, found := keysOf(numbered("again", 5)), 0
		for round := range 20 {
			f.readThrough(old[:10]...)
			if n := f.readThrough(again...); round >= 15 {
				found += n
			}
			f.readThrough(keysOf(numbered(fmt.Sprint("once", round), 10))...)
		}
		if found < 20 {
			f.Errorf("found %d of the 25 that came again at the end", found)
		}
	}},

	{"adaptive: where lru is right, it comes near to it", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 50, Eviction: store.Adaptive.Name})
		found, asked := 0, 0
		for i := range 2000 { // each key three times, 20 and 40 requests apart
			for _, back := range []int{0, 20, 40} {
				asked++
				found += f.readThrough(fmt.Sprint("k", i/2-back/2))
			}
		}
		if share := float64(found) / float64(asked); share < 0.7 {
			f.Errorf("found %.3f", share)
		}
	}},

	{"once all entries were read, rank finds no new key again", func(f *fixture) {
		// README.md and docs/eviction.md have the figure for rank.
		const n = 1000
		for policy, want := range map[string]int{store.Rank.Name: 0, store.LRU.Name: n - 1, store.Adaptive.Name: 9} {
			f.empty()
			f.setLimits(store.Limits{MaxKeys: n, Eviction: policy})
			f.readThrough(keysOf(numbered("old", n))...)
			f.readThrough(keysOf(numbered("old", n))...)
			newcomers := keysOf(numbered("new", n))
			f.readThrough(newcomers...)
			found := 0
			for _, e := range f.fetch(newcomers[:n-1]...).Entries {
				if e != nil {
					found++
				}
			}
			if found != want {
				f.Errorf("%s: found %d of %d again, want %d", policy, found, n-1, want)
			}
		}
	}},

	{"evicted entries without a fetch are counted, under every policy", func(f *fixture) {
		for _, policy := range store.Policies {
			f.setLimits(store.Limits{MaxKeys: 10, Eviction: policy.Name})
			f.empty()
			f.apply(numbered("k", 10)...)
			f.fetch("k0001", "k0003", "k0005")
			f.fetch("k0003")
			f.apply(put("k0007", "yy"), del("k0009"), restore("k0009", "x", -0.5))
			evicted, unread := 0, 0
			read := []string{"k0001", "k0003", "k0005"}
			f.limits.MaxKeys = 1
			for a := f.setLimits(f.limits); ; a = f.apply() {
				evicted, unread = evicted+len(a.Evicted), unread+a.EvictedUnread
				read = slices.DeleteFunc(read, func(key string) bool { return slices.Contains(a.Evicted, key) })
				if !a.Over {
					break
				}
			}
			if want := 6 + len(read); evicted != 9 || unread != want {
				f.Errorf("%s: evicted %d, by their scores %d of them never fetched; want 9 and %d (see Scale.Unread in engine/store/scale.go)",
					policy.Name, evicted, unread, want)
			}
		}
	}},

	{"every policy keeps to the limits, even with large batches", func(f *fixture) {
		for _, policy := range store.Policies {
			for _, most := range []int{1, 2, 33} {
				f.setLimits(store.Limits{MaxKeys: most, Eviction: policy.Name})
				a := f.apply(numbered(policy.Name, store.MaxBatch)...)
				for i, res := range a.Results {
					if res.Outcome != store.Created {
						f.Fatalf("write %d: %+v", i, res)
					}
				}
				if a.Keys != most || len(f.inspect()) != most {
					f.Errorf("%s: %d keys at a capacity of %d", policy.Name, a.Keys, most)
				}
				f.empty()
			}
		}
	}},

	{"adaptive: when entries go, ghosts and shadow follow in bounded steps", func(f *fixture) {
		const n = 1500
		fill := func() {
			f.begin(store.Adaptive, n)
			for _, prefix := range []string{"old", "new", "later"} {
				writes := numbered(prefix, n)
				f.apply(writes[:n/2]...)
				f.apply(writes[n/2:]...)
			}
		}
		// follow takes steps until there are at most as many ghosts as entries, and as
		// many keys in the shadow.
		follow := func(what string, most int, step func() store.Applied) {
			f.Helper()
			for steps := 0; ; steps++ {
				before := f.notes()
				a := step()
				after := f.notes()
				if gone, most := before[0]-after[0], store.TrimStep+2*len(a.Evicted)+len(a.Results); gone > most {
					f.Errorf("%s: %d ghosts went at once, want %d at most", what, gone, most)
				}
				if !a.Over && after[0] <= a.Keys && after[1] <= a.Keys {
					return
				}
				if steps >= most {
					f.Fatalf("%s: %d ghosts, %d in the shadow, %d keys", what, after[0], after[1], a.Keys)
				}
			}
		}
		fill()
		f.limits.MaxKeys = 100
		for a := f.setLimits(f.limits); a.Over; a = f.apply() {
		}
		if notes := f.notes(); notes[1] > store.TrimStep {
			f.Errorf("working off left %d in the shadow", notes[1])
		}
		follow("a lowered limit", n/50, func() store.Applied { return f.apply(create("another", "x"), del("another")) })

		fill()
		keys := f.order()
		follow("deletes", 0, func() store.Applied {
			some := min(n/2, len(keys))
			var writes []store.Write
			for _, key := range keys[:some] {
				writes = append(writes, del(key))
			}
			keys = keys[some:]
			return f.apply(append(writes, create("another", "x"), del("another"))...)
		})
	}},

	{"a long load moves every order as the model's", func(f *fixture) {
		rng := rand.New(rand.NewPCG(7, 8))
		zipf := rand.NewZipf(rng, 1.2, 8, 400)
		limits := store.Limits{MaxKeys: 60, Eviction: store.Adaptive.Name}
		c := &comparison{Harness: f.Harness}
		c.model.limits, c.model.policy = limits, store.Adaptive
		c.model.number = f.setLimits(limits).Number
		for round := range 700 {
			if round%100 == 99 {
				limits.Eviction = store.Policies[rng.IntN(len(store.Policies))].Name
				limits.MaxKeys = 40 + rng.IntN(40)
				c.model.setLimits(limits)
				c.compare(f, f.setLimits(limits))
			}
			var keys []string
			for range 1 + rng.IntN(12) {
				key := fmt.Sprint("k", zipf.Uint64())
				if rng.IntN(3) == 0 {
					key = fmt.Sprint("scan", round%150)
				}
				if !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			}
			c.fetchKeys(f, keys, someUses(rng, zipf.Uint64)...)
			var writes []store.Write
			for _, key := range keys {
				writes = append(writes, create(key, key))
			}
			if rng.IntN(10) == 0 {
				writes = append(writes, del(keys[0]), create(keys[0], ""))
			}
			c.run(f, writes)
			c.check(f)
		}
	}},
}

// someUses returns uses of a few keys. Some of the keys may be stored.
func someUses(rng *rand.Rand, key func() uint64) []store.Use {
	var uses []store.Use
	for range rng.IntN(4) {
		u := store.Use{Key: fmt.Sprint("k", key()), Count: 1 + rng.IntN(100)}
		if !slices.ContainsFunc(uses, func(other store.Use) bool { return other.Key == u.Key }) {
			uses = append(uses, u)
		}
	}
	return uses
}

// notes counts the ghosts and the keys of the shadow.
func (f *fixture) notes() [2]int {
	f.Helper()
	kept, err := f.Kept()
	if err != nil {
		f.Fatal(err)
	}
	return [2]int{len(kept.Ghosts), len(kept.Shadow)}
}

// readThrough uses the store as a cache-aside client does: it fetches keys one by one, and
// creates absent ones. It returns the number of hits.
func (f *fixture) readThrough(keys ...string) (found int) {
	f.Helper()
	for _, key := range keys {
		if f.fetch(key).Entries[0] != nil {
			found++
		} else {
			f.write(create(key, "x"), store.Created)
		}
	}
	return found
}

// empty deletes all entries.
func (f *fixture) empty() {
	f.Helper()
	var writes []store.Write
	for _, key := range f.order() {
		writes = append(writes, del(key))
	}
	f.apply(writes...)
}
