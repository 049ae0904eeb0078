package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var batchTests = []test{
	{"the writes of a batch see those before them", func(f *fixture) {
		a := f.apply(
			create("k", "1"), create("k", "1"), put("k", "2"), create("k", "1"), create("k", "2"),
			del("k"), del("k"), create("k", "3"),
		)
		want := []store.Result{
			{Outcome: store.Created},
			{Outcome: store.Conflict, SameValue: true},
			{Outcome: store.Replaced},
			{Outcome: store.Conflict},
			{Outcome: store.Conflict, SameValue: true},
			{Outcome: store.Deleted},
			{Outcome: store.Absent},
			{Outcome: store.Created},
		}
		for i, res := range a.Results {
			if res.Outcome != want[i].Outcome || res.SameValue != want[i].SameValue {
				f.Errorf("write %d: %+v, want %+v", i, res, want[i])
			}
		}
		if a.Results[1].Version != a.Results[0].Version || a.Results[3].Version != a.Results[2].Version {
			f.Errorf("conflicts report other versions than the writes before them: %+v", a.Results)
		}
		if e := f.value("k"); string(e.Data) != "3" || e.Version != a.Results[7].Version {
			f.Errorf("stored %s, version %s", describe(e.Value), e.Version)
		}
		if a.Number != a.Results[7].Version.Number {
			f.Errorf("number %d, the last write has %s", a.Number, a.Results[7].Version)
		}
	}},

	{"a batch of no writes changes nothing", func(f *fixture) {
		before := f.apply(create("k", "1"))
		a := f.apply()
		if a.Number != before.Number || a.Keys != 1 || a.Bytes != 2 || len(a.Evicted) != 0 || a.Over {
			f.Errorf("%+v after %+v", a, before)
		}
	}},

	{"a batch may have MaxBatch writes", func(f *fixture) {
		a := f.apply(numbered("k", store.MaxBatch)...)
		for i, res := range a.Results {
			if res.Outcome != store.Created {
				f.Fatalf("write %d: %+v", i, res)
			}
		}
		if a.Keys != store.MaxBatch {
			f.Errorf("%d keys", a.Keys)
		}
	}},

	{"large batches at capacity 1 evict all but the last", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: f.limits.Eviction})
		writes := numbered("k", store.MaxBatch)
		a := f.apply(writes...)
		keys := keysOf(writes)
		f.wantKeys("evicted", a.Evicted, keys[:len(keys)-1]...)
		f.wantKeys("left", f.order(), keys[len(keys)-1])
	}},

	{"rank, lru: the same writes one by one and in batches give the same answers and end state", func(f *fixture) {
		f.oneByOneAndInBatches(store.Limits{MaxKeys: 4, Eviction: f.limits.Eviction})
	}},

	{"rank, lru: the same is true under a limit of bytes", func(f *fixture) {
		f.oneByOneAndInBatches(store.Limits{MaxKeys: 6, MaxBytes: 20, Eviction: f.limits.Eviction})
	}},
}

// oneByOneAndInBatches runs the same random writes and fetches on two stores, one by one
// and in batches. Only the tags of versions may differ.
func (f *fixture) oneByOneAndInBatches(l store.Limits) {
	single := f
	batched := &fixture{T: f.T, open: f.open, Harness: opened(f.T, f.open)}
	single.setLimits(l)
	batched.setLimits(l)

	rng := rand.New(rand.NewPCG(3, 4))
	key := func() string { return oddKeys[rng.IntN(8)] }
	for round := range 60 {
		writes := make([]store.Write, 1+rng.IntN(20))
		for i := range writes {
			w := store.Write{Op: []store.Op{store.Create, store.Create, store.Put, store.Delete}[rng.IntN(4)], Key: key()}
			if w.Op != store.Delete {
				w.Value = text("123456789012345678901234"[:rng.IntN(8)*rng.IntN(4)])
			}
			switch rng.IntN(8) {
			case 0:
				w.IfMatch = store.AnyVersion
			case 1:
				w.IfNoneMatch = store.AnyVersion
			}
			writes[i] = w
		}

		var answers, evicted []string
		var last store.Applied
		for _, w := range writes {
			last = single.apply(w)
			answers = append(answers, tagless(last.Results[0]))
			evicted = append(evicted, last.Evicted...)
		}
		a := batched.apply(writes...)
		for i, res := range a.Results {
			if got := tagless(res); got != answers[i] {
				f.Fatalf("round %d, write %d, %c %q: %s in a batch, %s alone", round, i, writes[i].Op, writes[i].Key, got, answers[i])
			}
		}
		f.wantKeys(fmt.Sprintf("evicted in round %d", round), a.Evicted, evicted...)
		if a.Number != last.Number || a.Keys != last.Keys || a.Bytes != last.Bytes {
			f.Errorf("round %d: number %d, %d keys, %d bytes in a batch; %d, %d, %d one by one",
				round, a.Number, a.Keys, a.Bytes, last.Number, last.Keys, last.Bytes)
		}
		if got, want := untagged(batched.inspect()), untagged(single.inspect()); !slices.Equal(got, want) {
			f.Fatalf("round %d: in a batch\n%q\none by one\n%q", round, got, want)
		}
		fetched := key()
		single.fetch(fetched)
		batched.fetch(fetched)
	}
}

func tagless(r store.Result) string {
	return fmt.Sprintf("outcome %d number %d same %v %s", r.Outcome, r.Version.Number, r.SameValue, r.Reason)
}

// untagged renders rows without the tags of their versions.
func untagged(rows []Ranked) []string {
	var lines []string
	for _, r := range rows {
		r.Entry.Version.Tag = 0
		lines = append(lines, r.String())
	}
	return lines
}
