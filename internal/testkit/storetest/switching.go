package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// switchTests test the order after a policy change. Most have more entries than an Apply
// converts.
var switchTests = []test{
	{"nothing is evicted, and the order stays as far as the new policy can say it", func(f *fixture) {
		const n = 500
		for _, from := range store.Policies {
			for _, to := range others(from) {
				f.begin(from, n)
				f.read(numbered("k", n), reads)
				var order []string
				for _, r := range f.inspect() {
					if r.Score >= store.Edge { // entries in the window are newer than their places say
						order = append(order, r.Key)
					}
				}
				steps := 0
				for a := f.switchTo(to); ; a = f.apply() {
					steps++
					if a.Keys != n || len(a.Evicted) != 0 || a.Limits.Eviction != to.Name {
						f.Fatalf("%s to %s: %d keys, evicted %q, limits %+v", from.Name, to.Name, a.Keys, a.Evicted, a.Limits)
					}
					f.wantShown(to)
					if to.Scale != store.Counts {
						got := slices.DeleteFunc(f.order(), func(key string) bool { return !slices.Contains(order, key) })
						f.wantKeys(from.Name+" to "+to.Name, got, order...)
					}
					if !a.Converting {
						break
					}
				}
				want := n/store.TrimStep + 1
				if from.Scale == to.Scale && from.Window == to.Window {
					want = 1 // no score needs converting
				}
				if steps != want {
					f.Errorf("%s to %s: %d steps, want %d", from.Name, to.Name, steps, want)
				}
				if kept, err := f.Kept(); err != nil || kept.State.Former != nil {
					f.Errorf("%s to %s: left %+v, %v", from.Name, to.Name, kept.State, err)
				}
				f.wantUnread(from.Name+" to "+to.Name, n)
			}
		}
	}},

	{"an entry without a fetch counts as unread, also before it is converted", func(f *fixture) {
		const n = 500
		for _, from := range store.Policies {
			for _, to := range others(from) {
				f.begin(from, n)
				f.read(numbered("k", n), reads)
				f.switchTo(to)
				f.wantUnread(from.Name+" to "+to.Name, n)
			}
		}
	}},

	{"ranks survive adaptive as the numbers that they were", func(f *fixture) {
		const n = 500
		fetches := func(i int) int { return i * i % 1500 }
		for _, all := range []bool{false, true} { // whether it converts all
			f.begin(store.Rank, n)
			f.read(numbered("k", n), fetches)
			for a := f.switchTo(store.Adaptive); a.Converting && all; a = f.apply() {
			}
			for a := f.switchTo(store.Rank); a.Converting; a = f.apply() {
			}
			for _, e := range f.page("", n, store.Valued).Entries {
				if want := fetches(number(e.Key)); e.Rank != float64(want) {
					f.Errorf("%q has rank %v after %d fetches", e.Key, e.Rank, want)
				}
			}
		}
	}},

	{"it makes no difference whether all are converted when the policy changes again", func(f *fixture) {
		const n = store.TrimStep * 3 / 2
		for _, first := range store.Policies {
			for _, second := range others(first) {
				for _, third := range others(second) {
					var scores [2]map[string]float64
					for i := range scores {
						f.begin(first, n)
						f.read(numbered("k", n), reads)
						for a := f.switchTo(second); a.Converting && i == 1; a = f.apply() {
						}
						for a := f.switchTo(third); a.Converting; a = f.apply() {
						}
						scores[i] = map[string]float64{}
						for _, e := range f.page("", n, store.Next).Entries {
							scores[i][e.Key] = e.Rank
						}
					}
					for key := range scores[0] {
						// Entries in the window stay there.
						if apart := store.Edge / 2.0; scores[0][key] != scores[1][key] && scores[0][key] > apart {
							f.Errorf("%s, %s, %s: %q has the score %v, and %v if all were converted before the second change; they must be equal (see the rules in engine/store/scale.go)",
								first.Name, second.Name, third.Name, key, scores[0][key], scores[1][key])
						}
					}
				}
			}
		}
	}},

	{"the entries that are read most stay, under rank and adaptive in turns", func(f *fixture) {
		const n, few = 600, 20
		f.begin(store.Rank, n)
		f.read(numbered("k", n), reads)
		favourites := keysOf(numbered("k", few))
		for _, policy := range []store.Policy{store.Rank, store.Adaptive, store.Rank, store.Adaptive} {
			for a := f.switchTo(policy); a.Converting; a = f.apply() {
			}
			for range 30 {
				f.fetch(favourites...)
			}
			f.apply(numbered(fmt.Sprint(f.limits.Eviction, "-new"), 50)...)
		}
		var top []string
		for _, e := range f.page("", few, store.Valued).Entries {
			top = append(top, e.Key)
		}
		slices.Sort(top)
		f.wantKeys("valued most", top, favourites...)
	}},

	{"under lru, entries read or created after a switch outlast the others", func(f *fixture) {
		const n = 500
		for _, from := range others(store.LRU) {
			f.begin(from, n)
			f.read(numbered("k", n), reads)
			f.switchTo(store.LRU)
			order := f.order()
			f.fetch(order[0], order[n-1])
			a := f.apply(numbered("new", n-2)...)
			f.wantKeys(from.Name+" to lru, evicted", a.Evicted, order[1:n-1]...)
			if got := f.order(); len(got) != n || got[0] != order[0] || got[1] != order[n-1] {
				f.Errorf("%s to lru: left %s", from.Name, list(got))
			}
		}
	}},

	{"a rank that follows another policy counts from there, and by one", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 10, Eviction: store.LRU.Name})
		f.apply(numbered("k", 3)...)
		f.fetch("k0002")
		f.switchTo(store.Rank)
		f.apply(create("new", "1"))
		f.fetch("k0001")
		f.fetch("k0001")
		f.fetch("new")
		f.wantKeys("order", f.order(), "k0000", "k0002", "new", "k0001")
		for key, want := range map[string]float64{"k0000": 0, "k0002": 1, "new": 1, "k0001": 2} {
			if got := f.look(key).Rank; got != want {
				f.Errorf("%q has rank %v, want %v", key, got, want)
			}
		}
	}},

	{"pages go through an order that is half converted", func(f *fixture) {
		const n = 500
		for _, from := range store.Policies {
			for _, to := range others(from) {
				f.begin(from, n)
				f.read(numbered("k", n), reads)
				f.switchTo(to)
				order := f.order()
				f.wantKeys("next", f.pages(70, store.Next, nil), order...)
				slices.Reverse(order)
				f.wantKeys("valued", f.pages(70, store.Valued, nil), order...)
			}
		}
	}},

	{"a limit that is lowered meanwhile takes the lowest of the old order first", func(f *fixture) {
		const n = 900
		for _, from := range store.Policies {
			for _, to := range others(from) {
				f.begin(from, n)
				f.read(numbered("k", n), reads)
				order := f.order()
				f.limits.MaxKeys = 300
				f.limits.Eviction = to.Name
				var evicted []string
				for a := f.setLimits(f.limits); ; a = f.apply() {
					if len(a.Evicted) > store.TrimStep {
						f.Fatalf("%s to %s: a step of %d", from.Name, to.Name, len(a.Evicted))
					}
					evicted = append(evicted, a.Evicted...)
					if !a.Over && !a.Converting {
						break
					}
				}
				// The steps end when all of the old order was converted or evicted.
				f.wantKeys(from.Name+" to "+to.Name, evicted[:2*store.TrimStep], order[:2*store.TrimStep]...)
				if len(evicted) != n-300 || len(f.inspect()) != 300 {
					f.Errorf("%s to %s: %d were evicted and %d stay", from.Name, to.Name, len(evicted), len(f.inspect()))
				}
			}
		}
	}},

	{"a restored entry has its place also while others are converted", func(f *fixture) {
		for _, from := range store.Policies {
			for _, to := range others(from) {
				f.begin(from, 500)
				f.read(numbered("k", 300), reads)
				f.switchTo(to)
				f.apply(restore("high", "1", 1e9), restore("low", "1", -1e6))
				order := f.order()
				if i := slices.Index(order, "low"); i < 0 || i > 100 || order[len(order)-1] != "high" {
					f.Errorf("%s to %s: low has place %d, the last is %q", from.Name, to.Name, i, order[len(order)-1])
				}
				if got := f.look("high").Rank; got != 1e9 {
					f.Errorf("%s to %s: rank %v", from.Name, to.Name, got)
				}
			}
		}
	}},

	{"orders of a thousand, which policies take over from each other in the middle, move as the model's", func(f *fixture) {
		const n = 1000
		rng := rand.New(rand.NewPCG(9, 10))
		zipf := rand.NewZipf(rng, 1.1, 8, 3*n)
		limits := store.Limits{MaxKeys: n, Eviction: store.Rank.Name}
		c := &comparison{Harness: f.Harness}
		c.model.limits, c.model.policy = limits, store.Rank
		c.model.number = f.setLimits(limits).Number
		c.run(f, numbered("k", n))
		for round := range 120 {
			if round%4 == 3 {
				limits.Eviction = store.Policies[rng.IntN(len(store.Policies))].Name
				limits.MaxKeys = n - rng.IntN(300)
				c.model.setLimits(limits)
				c.compare(f, f.setLimits(limits))
			}
			keys := map[string]bool{}
			for range 1 + rng.IntN(60) {
				keys[fmt.Sprintf("k%04d", zipf.Uint64())] = true
			}
			asked := slices.Sorted(maps.Keys(keys))
			c.fetchKeys(f, asked, someUses(rng, zipf.Uint64)...)
			var writes []store.Write
			for i, key := range asked {
				switch i % 20 {
				case 18:
					writes = append(writes, del(key))
				case 19:
					writes = append(writes, restore(key, key, float64(rng.IntN(1000)-500)))
				default:
					writes = append(writes, create(key, key))
				}
			}
			c.run(f, writes)
			if round%2 == 0 {
				c.check(f)
			}
		}
	}},
}

// others returns all policies but one.
func others(p store.Policy) []store.Policy {
	return slices.DeleteFunc(slices.Clone(store.Policies), func(other store.Policy) bool { return other.Name == p.Name })
}

// begin empties the store and sets a policy.
func (f *fixture) begin(p store.Policy, maxKeys int) {
	f.Helper()
	f.empty()
	f.setLimits(store.Limits{MaxKeys: maxKeys, Eviction: p.Name})
}

func (f *fixture) switchTo(p store.Policy) store.Applied {
	f.Helper()
	f.limits.Eviction = p.Name
	return f.setLimits(f.limits)
}

// read creates entries, and reads each as often as times says.
func (f *fixture) read(writes []store.Write, times func(i int) int) {
	f.Helper()
	f.apply(writes...)
	var uses []store.Use
	for i, w := range writes {
		if n := times(i); n > 0 {
			uses = append(uses, store.Use{Key: w.Key, Count: n})
		}
	}
	// Not in the order of their age.
	slices.SortStableFunc(uses, func(a, b store.Use) int { return cmp.Compare(a.Key[len(a.Key)-1], b.Key[len(b.Key)-1]) })
	f.use(nil, uses...)
}

// reads leaves every seventh entry unread.
func reads(i int) int { return i % 7 }

// number returns the number in a key that numbered made with a prefix of one letter.
func number(key string) int {
	n, _ := strconv.Atoi(key[1:])
	return n
}

// wantShown checks the ranks that a page shows. With Counts, they are numbers of fetches.
func (f *fixture) wantShown(p store.Policy) {
	f.Helper()
	if p.Scale != store.Counts {
		return
	}
	for _, e := range f.page("", store.MaxBatch, store.Next).Entries {
		if e.Rank < 0 || e.Rank != math.Floor(e.Rank) {
			f.Fatalf("%q has rank %v", e.Key, e.Rank)
		}
	}
}

// wantUnread evicts all n entries of reads, and checks how many were unread.
func (f *fixture) wantUnread(what string, n int) {
	f.Helper()
	f.limits.MaxKeys = 1
	unread := 0
	for a := f.setLimits(f.limits); ; a = f.apply() {
		unread += a.EvictedUnread
		if !a.Over {
			break
		}
	}
	for _, key := range f.order() {
		if reads(number(key)) == 0 {
			unread++
		}
	}
	if want := (n + 6) / 7; unread != want {
		f.Errorf("%s: by their scores, %d were never fetched, want %d (see Scale.Unread in engine/store/scale.go)", what, unread, want)
	}
}
