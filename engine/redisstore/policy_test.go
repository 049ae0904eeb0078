package redisstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// use reads keys as a cache-aside client does, and creates absent ones.
func (f *fixture) use(keys ...string) {
	f.Helper()
	var absent []store.Write
	for i, e := range f.fetch(keys...).Entries {
		if e == nil {
			absent = append(absent, create(keys[i], "v"))
		}
	}
	if len(absent) > 0 {
		f.apply(absent...)
	}
}

func (f *fixture) switchTo(policy string) store.Applied {
	f.Helper()
	f.limits.Eviction = policy
	a, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, SetLimits: true})
	if err != nil {
		f.Fatal(err)
	}
	return a
}

func (f *fixture) count(name string) int64 {
	f.Helper()
	return f.redis.ZCard(f.ctx(), "{cache}:"+name).Val()
}

func TestGhostsAndShadowNeverOutnumberTheEntries(t *testing.T) {
	f := newFixture(t)
	f.limits = store.Limits{MaxKeys: 50, Eviction: "adaptive"}
	for i := range 300 {
		f.use(fmt.Sprint("new", i), fmt.Sprint("loop", i%70))
		keys := f.count("ranks")
		if ghosts, shadow := f.count("ghosts"), f.count("shadow"); ghosts > keys || shadow > keys {
			t.Fatalf("%d ghosts, %d in the shadow, %d entries", ghosts, shadow, keys)
		}
	}
	if f.count("ghosts") == 0 || f.count("shadow") == 0 {
		t.Fatal("no ghosts or no shadow: nothing was shown")
	}
	f.switchTo("rank")
	if left := f.redis.Exists(f.ctx(), "{cache}:ghosts", "{cache}:shadow").Val(); left != 0 {
		t.Errorf("%d keys of adaptive are left under rank", left)
	}
	f.consistent()
}

func TestADeletedKeyIsNoGhost(t *testing.T) {
	f := newFixture(t)
	f.limits = store.Limits{MaxKeys: 5, Eviction: "adaptive"}
	for i := range 20 {
		f.use(fmt.Sprint("k", i%7))
	}
	for i := range 7 {
		f.apply(create(fmt.Sprint("k", i), "v"), remove(fmt.Sprint("k", i)))
	}
	if ghosts, shadow := f.count("ghosts"), f.count("shadow"); ghosts != 0 || shadow != 0 {
		t.Errorf("%d ghosts, %d in the shadow", ghosts, shadow)
	}
}

func TestBrokenGhostsOrShadowBreakNothingElse(t *testing.T) {
	f := newFixture(t)
	f.limits = store.Limits{MaxKeys: 5, Eviction: "adaptive"}
	f.use("a", "b", "c", "d", "e", "f")
	f.do("SET", "{cache}:ghosts", "a string")
	f.do("SET", "{cache}:shadow", "a string")
	for i := range 20 {
		f.use(fmt.Sprint("k", i%7), "a")
		f.apply(put("a", fmt.Sprint(i)), remove(fmt.Sprint("k", i%3)))
		if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n > 5 {
			t.Fatalf("%d keys", n)
		}
	}
	f.consistent()
}

func TestStructuresThatDisagreeAreRepairedUnderEveryPolicy(t *testing.T) {
	for _, policy := range store.Policies {
		for name, harm := range map[string]func(f *fixture){
			"ranks":    func(f *fixture) { f.do("DEL", "{cache}:ranks") },
			"meta":     func(f *fixture) { f.do("DEL", "{cache}:meta") },
			"values":   func(f *fixture) { f.do("DEL", "{cache}:values") },
			"state":    func(f *fixture) { f.do("DEL", "{cache}:state") },
			"one rank": func(f *fixture) { f.do("ZPOPMIN", "{cache}:ranks") },
			"clock": func(f *fixture) {
				head := f.redis.HGet(f.ctx(), "{cache}:state", "head").Val()
				f.do("HSET", "{cache}:state", "head", head[:clockAt]+strings.Repeat("\xff", headSize-clockAt)) // not numbers
			},
			"former": func(f *fixture) {
				f.do("HSET", "{cache}:state", "former", "rank e e e e e lru 1 9 -1 0 0 adaptive nan 1 2 inf 4")
			},
			"order gone": func(f *fixture) { f.do("HDEL", "{cache}:state", "head") },
		} {
			t.Run(policy.Name+" without "+name, func(t *testing.T) {
				f := newFixture(t)
				f.limits = store.Limits{MaxKeys: 50, Eviction: policy.Name}
				for i := range 120 {
					f.use(fmt.Sprint("k", i%60), fmt.Sprint("k", i%7))
				}
				harm(f)
				for i := range 20 {
					f.use(fmt.Sprint("new", i), fmt.Sprint("k", i))
					if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n > 50 {
						t.Fatalf("%d values", n)
					}
				}
				f.settle()
			})
		}
	}
}

// TestPoliciesChangeWhileOthersWrite has two writers in one namespace, while its policy
// changes again and again.
func TestPoliciesChangeWhileOthersWrite(t *testing.T) {
	f := newFixture(t)
	f.limits = store.Limits{MaxKeys: 500, Eviction: "rank"}
	for i := range 10 {
		var keys []string
		for j := range 50 {
			keys = append(keys, fmt.Sprint("k", i, "-", j))
		}
		f.use(keys...)
	}
	other, _ := f.open(f.server.URL())
	ctx, limits := f.ctx(), f.limits
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			keys := []string{fmt.Sprint("a", i%30), fmt.Sprint("b", i)}
			if _, err := other.Fetch(ctx, keys, store.AnyRoom); err != nil {
				t.Error(err)
				return
			}
			a, err := other.Apply(ctx, store.Batch{Limits: limits, Writes: []store.Write{create(keys[0], "v"), create(keys[1], "v")}})
			if err != nil || a.Keys > 500 {
				t.Errorf("%d keys, %v", a.Keys, err)
				return
			}
		}
	})
	for i := range 60 {
		before := f.redis.HLen(f.ctx(), "{cache}:values").Val()
		a := f.switchTo(store.Policies[i%len(store.Policies)].Name)
		if len(a.Evicted) != 0 || int64(a.Keys) < before {
			t.Fatalf("a switch left %d of %d keys, and evicted %q", a.Keys, before, a.Evicted)
		}
		f.use(fmt.Sprint("a", i%30), fmt.Sprint("c", i))
	}
	close(stop)
	running.Wait()
	f.consistent()
}

// eachSwitch runs a test for each policy and each that may follow it. The store
// has more entries than a batch converts.
func eachSwitch(t *testing.T, run func(f *fixture, from, to string)) {
	for _, from := range store.Policies {
		for _, to := range store.Policies {
			if from.Name == to.Name {
				continue
			}
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				f := newFixture(t)
				f.limits = store.Limits{MaxKeys: 500, Eviction: from.Name}
				var keys []string
				for i := range 500 {
					keys = append(keys, fmt.Sprint("k", i))
				}
				f.use(keys...)
				f.fetch(keys[100:300]...)
				f.fetch(keys[200:]...)
				run(f, from.Name, to.Name)
			})
		}
	}
}

func (f *fixture) readOnly(on bool) {
	f.Helper()
	if on {
		f.do("REPLICAOF", "127.0.0.1", "1") // a closed port
	} else {
		f.do("REPLICAOF", "NO", "ONE")
	}
}

func (f *fixture) full(on bool) {
	f.Helper()
	if on {
		f.do("CONFIG", "SET", "maxmemory", "1")
	} else {
		f.do("CONFIG", "SET", "maxmemory", "0")
	}
}

func TestASwitchThatIsRefusedLeavesAllAsItWas(t *testing.T) {
	eachSwitch(t, func(f *fixture, from, to string) {
		for _, refuse := range []func(on bool){f.full, f.readOnly} {
			before := f.dump()
			refuse(true)
			if a := f.switchTo(to); a.Limits.Eviction != from || a.Keys != 500 {
				f.Errorf("limits %+v, %d keys", a.Limits, a.Keys)
			}
			if got := f.fetch("k29"); got.Entries[0] == nil || got.LostRaises != 1 {
				f.Errorf("%+v", got)
			}
			if after := f.dump(); after != before {
				f.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			refuse(false)
		}
		if a := f.switchTo(to); a.Limits.Eviction != to || a.Keys != 500 {
			f.Errorf("limits %+v, %d keys", a.Limits, a.Keys)
		}
		f.consistent()
	})
}

func TestStructuresThatDisagreeAreRepairedDuringAConversion(t *testing.T) {
	eachSwitch(t, func(f *fixture, _, to string) {
		for _, harm := range []func(){
			func() { f.do("ZPOPMIN", "{cache}:ranks", "20"); f.do("HDEL", "{cache}:meta", "k400") },
			func() { f.do("DEL", "{cache}:ranks") },
			func() { f.do("DEL", "{cache}:state") },
		} {
			f.switchTo(to)
			harm()
			for i := range 10 {
				f.use(fmt.Sprint("new", i), fmt.Sprint("k", 50*i))
				if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n > 500 {
					f.Fatalf("%d values", n)
				}
			}
			f.settle()
			f.switchTo("rank")
			f.switchTo("lru")
		}
	})
}

func TestAConversionRestsWhileRedisRefuses(t *testing.T) {
	eachSwitch(t, func(f *fixture, from, to string) {
		if a := f.switchTo(to); !a.Converting {
			f.Fatal("all was converted at once")
		}
		former := func() string { return f.redis.HGet(f.ctx(), "{cache}:state", "former").Val() }
		before := former()
		for _, refuse := range []func(on bool){f.full, f.readOnly} {
			dump := f.dump()
			refuse(true)
			f.outcomes(f.apply(create("new", "v")), store.Refused)
			if got := f.fetch("k29"); got.Entries[0] == nil || got.LostRaises != 1 {
				f.Errorf("%+v", got)
			}
			if after := f.dump(); after != dump {
				f.Errorf("before:\n%s\nafter:\n%s", dump, after)
			}
			refuse(false)
		}
		// Calls that need no memory still succeed.
		f.full(true)
		f.outcomes(f.apply(remove("k29")), store.Deleted)
		f.limits.MaxKeys = 450
		if a := f.switchTo(to); a.Keys != 450 || !a.Over || !a.Converting {
			f.Errorf("%d keys, over %v, converting %v", a.Keys, a.Over, a.Converting)
		}
		if got := former(); got != before || got == "" {
			f.Errorf("left from before %q, then %q", before, got)
		}
		f.full(false)
		for range 3 {
			f.apply()
		}
		if got := former(); got != "" {
			f.Errorf("left from before: %q", got)
		}
		f.consistent()
	})
}
