package redisstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestADamagedStateIsRepairedAndStopsNoReader damages the state of a namespace, and then
// uses the namespace as usual.
func TestADamagedStateIsRepairedAndStopsNoReader(t *testing.T) {
	for _, policy := range store.Policies {
		f := newFixture(t)
		f.limits = store.Limits{MaxKeys: 20, MaxBytes: 1000, Eviction: policy.Name}
		for _, field := range []string{
			"head", "max_keys", "max_bytes", "former", "start", "shift", "repair_values", "repair_meta", "repair_ranks", "expiring",
		} {
			for _, value := range []string{"nan", "inf", "-1", "abc", "", "1e300", "0x10", "1.5", "99999999999999999999", "\"}{", "1 2 3"} {
				t.Run(fmt.Sprintf("%s %s %q", policy.Name, field, value), func(t *testing.T) {
					f := *f
					f.T = t
					f.do("FLUSHALL")
					f.harmState(field, value)
				})
			}
		}
		// A possible name is left alone: see TestAnUnknownPolicyInTheStoreIsLeftAlone.
		for _, value := range []string{"", "-1", "1e300", "Rank", "\"}{", "rank lru", "rank\n"} {
			t.Run(fmt.Sprintf("%s eviction %q", policy.Name, value), func(t *testing.T) {
				f := *f
				f.T = t
				f.do("FLUSHALL")
				f.harmState("eviction", value)
			})
		}
	}
}

func (f *fixture) harmState(field, value string) {
	f.fill("k%02d", 20)
	f.fetch("k01", "k02")
	f.do("HSET", "{cache}:state", field, value)
	if strings.HasPrefix(field, "repair") {
		f.do("HDEL", "{cache}:meta", "k07") // else nothing is repaired
	}

	if e := f.fetch("k03").Entries[0]; e == nil || string(e.Data) != "v" {
		f.Fatalf("fetched %+v", e)
	}
	if _, err := f.store.Size(f.ctx()); err != nil {
		f.Error(err)
	}
	if h := f.store.Probe(f.ctx(), 0); h.Reads != nil || h.Writes != nil {
		f.Errorf("the probe says %+v", h)
	}
	f.outcomes(f.apply(remove("k04"), create("new", "value"), create("newer", "value"), put("k05", "longer")),
		store.Deleted, store.Created, store.Created, store.Replaced)
	f.settle()
	a := f.apply(create("last", "v"))
	f.outcomes(a, store.Created)
	if a.Keys != 20 || a.Limits != f.limits {
		f.Errorf("%d keys, %+v", a.Keys, a.Limits)
	}
	var bytes int64
	for key, value := range f.redis.HGetAll(f.ctx(), "{cache}:values").Val() {
		bytes += int64(len(key) + len(value))
	}
	if a.Bytes != bytes {
		f.Errorf("%d bytes are counted, and %d there", a.Bytes, bytes)
	}
	page, err := f.store.Page(f.ctx(), "", 100, store.Valued)
	if err != nil || len(page.Entries) != 20 {
		f.Fatalf("%d keys listed, %v", len(page.Entries), err)
	}
	for _, e := range page.Entries {
		if e.Key == "last" && e.Age != 0 || e.Key != "last" && e.Age == 0 {
			f.Errorf("%s has the age %d", e.Key, e.Age)
		}
	}
}

func TestWriteNumbersThatWereLostGoOnAboveAllThatWereGiven(t *testing.T) {
	for _, harm := range [][]any{
		{"HSET", "{cache}:state", "head", "nan"},
		{"HDEL", "{cache}:state", "head"},
		{"DEL", "{cache}:state"},
	} {
		f := newFixture(t)
		first := f.apply(create("old", "v"))
		f.do(harm...)
		second := f.apply(create("young", "v"))
		if second.Number <= first.Number || second.Epoch == first.Epoch {
			t.Errorf("%v: number %d in epoch %s after %d in %s", harm, second.Number, second.Epoch, first.Number, first.Epoch)
		}
		f.settle()
		f.limits.MaxKeys = 1
		if _, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, SetLimits: true}); err != nil {
			t.Fatal(err)
		}
		if e := f.fetch("old", "young").Entries; e[0] != nil || e[1] == nil {
			t.Errorf("%v: the younger one was evicted", harm)
		}
	}
}

func TestAFetchBringsABoundedPartOfWhatOthersWrote(t *testing.T) {
	f := newFixture(t)
	f.apply(create("own", "v"))
	large := strings.Repeat("v", 1000)
	f.do("HSET", "{cache}:values", "foreign1", large, "foreign2", large)
	keys := []string{"own", "foreign1", "foreign2"}
	room := store.Room{Enough: 1500, Most: 1500}
	for _, repaired := range []bool{false, true} {
		got, err := f.store.Fetch(f.ctx(), keys, room)
		if err != nil || len(got.Entries) != 2 {
			t.Errorf("repaired %v: %d entries, %v", repaired, len(got.Entries), err)
		}
		f.settle()
	}
}
