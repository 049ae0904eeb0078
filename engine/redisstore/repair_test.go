package redisstore

import (
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// settle applies empty batches until the structures agree. A step may find nothing to mend
// where the next one does.
func (f *fixture) settle() {
	f.Helper()
	for steps, idle := 0, 0; steps < 200 && idle < 10; steps++ {
		before := f.store.Mended()
		f.apply()
		if idle++; f.store.Mended() != before {
			idle = 0
		}
	}
	f.consistent()
}

func TestStructuresThatDisagreeAreRepaired(t *testing.T) {
	for name, harm := range map[string]func(f *fixture){
		"a value that somebody added":    func(f *fixture) { f.do("HSET", "{cache}:values", "foreign", "v") },
		"a value that somebody removed":  func(f *fixture) { f.do("HDEL", "{cache}:values", "k7") },
		"meta that somebody removed":     func(f *fixture) { f.do("HDEL", "{cache}:meta", "k7") },
		"a rank that somebody removed":   func(f *fixture) { f.do("ZPOPMIN", "{cache}:ranks") },
		"a rank that somebody added":     func(f *fixture) { f.do("ZADD", "{cache}:ranks", 5, memberOf(1, "other")) },
		"all ranks evicted by Redis":     func(f *fixture) { f.do("DEL", "{cache}:ranks") },
		"all meta evicted by Redis":      func(f *fixture) { f.do("DEL", "{cache}:meta") },
		"all values evicted by Redis":    func(f *fixture) { f.do("DEL", "{cache}:values") },
		"values and meta evicted":        func(f *fixture) { f.do("DEL", "{cache}:values", "{cache}:meta") },
		"the state evicted by Redis":     func(f *fixture) { f.do("DEL", "{cache}:state") },
		"a member of a wrong insertion":  func(f *fixture) { f.do("ZADD", "{cache}:ranks", 0, memberOf(0xff, "k7")) },
		"meta and rank, not of one key":  func(f *fixture) { f.do("HDEL", "{cache}:meta", "k7"); f.do("ZPOPMIN", "{cache}:ranks") },
		"an empty value without a meta":  func(f *fixture) { f.do("HSET", "{cache}:values", "foreign", "") },
		"a member shorter than a number": func(f *fixture) { f.do("ZADD", "{cache}:ranks", 0, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.limits.MaxKeys = 50
			f.fill("k%d", 50)
			harm(f)
			// The capacity still holds.
			for i := range 20 {
				if a := f.apply(create(fmt.Sprintf("new%d", i), "v")); a.Keys > 50 {
					t.Fatalf("%d keys", a.Keys)
				}
				if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n > 50 {
					t.Fatalf("%d values", n)
				}
			}
			f.settle()
		})
	}
}

func TestAValueWithoutMetaIsFetchedAsBytesAndNotOverwritten(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.do("HSET", "{cache}:values", "foreign", "bytes")
	e := f.fetch("foreign").Entries[0]
	if e == nil || string(e.Data) != "bytes" || e.Kind != store.Raw || e.Version != (store.Version{}) {
		t.Fatalf("%+v", e)
	}
	f.outcomes(f.apply(create("foreign", "x")), store.Conflict)
	f.settle()
	if e := f.fetch("foreign").Entries[0]; string(e.Data) != "bytes" || e.Version.Number == 0 {
		t.Fatalf("after the repair: %+v", e)
	}
	f.outcomes(f.apply(put("foreign", "y"), remove("foreign")), store.Replaced, store.Deleted)
	f.consistent()
}

func TestMetaThatSomebodyWroteIsNotBelieved(t *testing.T) {
	for _, meta := range []string{"", " ", "x", "1 1 00000000 s", "1 1 0000000 s ", "zz 1 00000000 s ", "1 1 00000000 ss ", "11111111111111111 1 00000000 s ", "\x81short", "\xc1\x00\x00\x01\x00\x00\x00\x00\x00\x01tagX", "\xbf\x00\x00\x01\x00\x00\x00\x00\x00\x01tagX"} {
		t.Run(meta, func(t *testing.T) {
			f := newFixture(t)
			f.apply(create("a", "1"))
			f.do("HSET", "{cache}:meta", "a", meta)
			if e := f.fetch("a").Entries[0]; string(e.Data) != "1" {
				t.Errorf("fetched %+v", e)
			}
			f.outcomes(f.apply(put("a", "2"), create("b", "1"), remove("a")), store.Replaced, store.Created, store.Deleted)
			f.settle()
		})
	}
}
