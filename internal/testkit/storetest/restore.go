package storetest

import (
	"math"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var restoreTests = []test{
	{"rank: a restored entry has the place that was asked for", func(f *fixture) {
		f.apply(create("new", "1"), restore("often", "2", 7), restore("never", "3", 0), restore("half", "4", 0.5))
		f.wantKeys("order", f.order(), "new", "never", "half", "often")
		if s := f.score("often"); s != 7 {
			f.Errorf("score %v", s)
		}
		f.fetch("often")
		if s := f.score("often"); s != 8 {
			f.Errorf("score %v after a fetch", s)
		}
	}},

	{"a restore makes room as a create does", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 2, Eviction: f.limits.Eviction})
		a := f.apply(restore("a", "1", 3), restore("b", "2", 2), restore("c", "3", 1))
		f.wantKeys("evicted", a.Evicted, "b")
		f.wantKeys("left", f.order(), "c", "a")
		for i, res := range a.Results {
			if res.Outcome != store.Created {
				f.Errorf("write %d: %+v", i, res)
			}
		}
	}},

	{"a restore of an existing key is a conflict and changes nothing", func(f *fixture) {
		first := f.write(create("a", "1"), store.Created)
		before := f.inspect()
		if res := f.write(restore("a", "1", 5), store.Conflict); !res.SameValue || res.Version != first.Version {
			f.Errorf("%+v", res)
		}
		f.write(restore("a", "2", 5), store.Conflict)
		f.sameRows(before)
	}},

	{"a restore obeys its conditions and the limit of bytes", func(f *fixture) {
		f.limitBytes(4)
		w := restore("a", "1", 1)
		w.IfMatch = store.AnyVersion
		f.write(w, store.PreconditionFailed)
		f.write(restore("a", "1234", 1), store.TooLarge)
		f.wantKeys("stored", f.order())
	}},

	{"the score of a restored entry tells whether it was read, at any clock", func(f *fixture) {
		for _, policy := range store.Policies {
			for _, others := range []int{0, 20} {
				f.begin(policy, 50)
				f.read(numbered("k", others), reads)
				unread, read := -0.5, 0.0
				if policy.Scale == store.Counts {
					unread, read = 0, 1
				}
				for _, before := range f.order() {
					f.apply(del(before))
				}
				f.apply(restore("a", "1", unread), restore("b", "1", unread), restore("c", "1", read), create("z", "1"))
				f.fetch("z")
				f.limits.MaxKeys = 1
				if a := f.setLimits(f.limits); len(a.Evicted) != 3 || a.EvictedUnread != 2 {
					f.Errorf("%s: evicted %q, by their scores %d of them never fetched; want 3 and 2 (see Scale.Unread in engine/store/scale.go)",
						policy.Name, a.Evicted, a.EvictedUnread)
				}
			}
		}
	}},

	{"a score that is no finite number becomes one", func(f *fixture) {
		f.apply(restore("nan", "1", math.NaN()), restore("high", "2", math.Inf(1)), restore("low", "3", math.Inf(-1)))
		f.wantKeys("order", f.order(), "low", "nan", "high")
		f.fetch("nan", "high", "low")
	}},
}
