package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// underEach runs a test for each policy.
func underEach(t *testing.T, run func(f *fixture)) {
	for _, policy := range store.Policies {
		t.Run(policy.Name, func(t *testing.T) {
			f := newFixture(t)
			f.limits.Eviction = policy.Name
			run(f)
		})
	}
}

func TestAFullRedisRefusesNewValuesAndStillReadsAndDeletes(t *testing.T) {
	underEach(t, func(f *fixture) {
		f.apply(create("a", "1"), create("b", "2"))
		f.do("CONFIG", "SET", "maxmemory", "1")

		a := f.apply(create("new", "v"), put("a", "longer"), create("b", "x"))
		f.outcomes(a, store.Refused, store.Refused, store.Conflict)
		if !strings.Contains(a.Results[0].Reason, "OOM") {
			f.Errorf("reason %q", a.Results[0].Reason)
		}
		got := f.fetch("a", "new")
		if got.Entries[0] == nil || string(got.Entries[0].Data) != "1" || got.Entries[1] != nil {
			f.Errorf("fetched %+v", got.Entries)
		}
		if got.LostRaises != 1 {
			f.Errorf("%d lost raises, want 1", got.LostRaises)
		}
		f.consistent()
		f.outcomes(f.apply(remove("a")), store.Deleted)
		f.consistent()

		f.do("CONFIG", "SET", "maxmemory", "0")
		f.outcomes(f.apply(create("new", "v")), store.Created)
		if got := f.fetch("b"); got.LostRaises != 0 {
			f.Errorf("%d lost raises", got.LostRaises)
		}
		f.consistent()
	})
}

func TestALowerLimitIsWorkedOffEvenWhenRedisIsFull(t *testing.T) {
	underEach(t, func(f *fixture) {
		f.apply(create("a", "1"), create("b", "2"), create("c", "3"))
		f.do("CONFIG", "SET", "maxmemory", "1")
		f.limits.MaxKeys = 1
		a, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, SetLimits: true})
		if err != nil || a.Keys != 1 || a.Limits != f.limits {
			f.Fatalf("%+v, %v", a, err)
		}
		f.consistent()
	})
}

func TestAReadOnlyReplicaAnswersReadsAndRefusesWrites(t *testing.T) {
	underEach(t, func(f *fixture) {
		f.apply(create("a", "1"))
		f.do("REPLICAOF", "127.0.0.1", "1") // a closed port

		a := f.apply(create("new", "v"), put("a", "2"), remove("a"), remove("none"))
		f.outcomes(a, store.Refused, store.Refused, store.Refused, store.Absent)
		if !strings.Contains(a.Results[2].Reason, "READONLY") {
			f.Errorf("reason %q", a.Results[2].Reason)
		}
		if got := f.fetch("a"); got.Entries[0] == nil || got.LostRaises != 1 {
			f.Errorf("%+v", got)
		}
		limits := f.limits
		limits.MaxKeys = 5
		a, err := f.store.Apply(f.ctx(), store.Batch{Limits: limits, SetLimits: true})
		if err != nil || a.Limits == limits {
			f.Errorf("limits that were not stored were reported as in force: %+v, %v", a.Limits, err)
		}
		f.do("REPLICAOF", "NO", "ONE")
		f.outcomes(f.apply(remove("a")), store.Deleted)
		f.consistent()
	})
}

func TestAKeyOfTheWrongTypeFailsTheBatchAndChangesNothing(t *testing.T) {
	for _, name := range []string{"values", "meta", "ranks", "state"} {
		underEach(t, func(f *fixture) {
			f.apply(create("a", "1"))
			f.do("SET", "{cache}:"+name, "a string")
			before := f.dump()
			_, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("b", "2"), remove("a")}})
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFateUnknown) || !strings.Contains(err.Error(), "WRONGTYPE") {
				f.Errorf("%s: got %v", name, err)
			}
			if after := f.dump(); after != before {
				f.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// dump returns everything in the namespace except the records of writers.
func (f *fixture) dump() string {
	f.Helper()
	var b strings.Builder
	for _, name := range []string{"values", "meta", "ranks", "state", "expiries"} {
		fmt.Fprintf(&b, "%s %x\n", name, f.redis.Dump(f.ctx(), "{cache}:"+name).Val())
	}
	return b.String()
}

func TestAUserWithoutTheChannelStillWrites(t *testing.T) {
	f := newFixture(t)
	f.do("ACL", "SETUSER", "plain", "on", ">pw", "~{cache}:*", "resetchannels", "+@all")
	s, logs := f.open("redis://plain:pw@" + f.server.Addr + "/0")
	a, err := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
	if err != nil {
		t.Fatal(err)
	}
	f.outcomes(a, store.Created)
	if logs.FilterMessageSnippet("did not publish").Len() != 1 {
		t.Errorf("logs: %v", logs.All())
	}
	f.consistent()
}

func TestALayoutOfALaterVersionIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.do("HSET", "{cache}:state", "layout", "9")
	_, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "namespace has layout 9") {
		t.Fatalf("got %v", err)
	}
	if _, err := f.store.Fetch(f.ctx(), []string{"a"}, store.AnyRoom); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "namespace has layout 9") {
		t.Errorf("fetch: %v", err)
	}
}

func TestAnUnknownPolicyInTheStoreIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.do("HSET", "{cache}:state", "eviction", "of-tomorrow")
	if _, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "of-tomorrow") {
		t.Errorf("apply: %v", err)
	}
	if _, err := f.store.Fetch(f.ctx(), []string{"a"}, store.AnyRoom); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "of-tomorrow") {
		t.Errorf("fetch: %v", err)
	}
}

func TestCheckWarnsOfMaxmemoryPoliciesThatLoseEntries(t *testing.T) {
	f := newFixture(t)
	for policy, warnings := range map[string]int{"noeviction": 0, "allkeys-lru": 1, "volatile-ttl": 1} {
		f.do("CONFIG", "SET", "maxmemory-policy", policy)
		s, logs := f.open(f.server.URL())
		if err := s.Check(f.ctx()); err != nil {
			t.Fatal(err)
		}
		if logs.Len() != warnings {
			t.Errorf("%s: %v", policy, logs.All())
		}
	}
	f.server.Kill()
	if err := f.store.Check(f.ctx()); err == nil {
		t.Error("no error without a server")
	}
}

func TestAScriptThatFailsHalfWayIsOfUnknownFate(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.do("ACL", "SETUSER", "default", "-set")
	_, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("b", "1")}})
	if !errors.Is(err, store.ErrFateUnknown) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	f.do("ACL", "SETUSER", "default", "+set")
	f.settle()
	if n := f.logs.FilterMessageSnippet("answers with an error").Len(); n != 1 {
		t.Errorf("%d warnings: %v", n, f.logs.All())
	}
}

func TestAMissingRightIsLoggedOnceAndNotTakenForADeadServer(t *testing.T) {
	f := newFixture(t)
	f.do("ACL", "SETUSER", "default", "-evalsha", "-eval")
	for range 2 * tripAfter {
		_, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
		if !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "NOPERM") {
			t.Fatalf("got %v", err)
		}
	}
	if n := f.logs.Len(); n != 1 {
		t.Errorf("%d warnings: %v", n, f.logs.All())
	}
}

func TestUnderMemoryPressureABatchAnswersAsItsWritesOneByOne(t *testing.T) {
	for _, policy := range store.Policies {
		t.Run(policy.Name, func(t *testing.T) { underMemoryPressure(t, policy) })
	}
}

func underMemoryPressure(t *testing.T, policy store.Policy) {
	for _, writes := range [][]store.Write{
		{remove("a"), create("new", "v")},
		{create("new", "v"), remove("a")},
		{remove("a"), put("b", "longer"), remove("none"), create("b", "x"), remove("b")},
	} {
		var answers [2][]store.Result
		for i, batched := range []bool{false, true} {
			f := newFixture(t)
			f.limits.Eviction = policy.Name
			f.apply(create("a", "1"), create("b", "2"))
			f.do("CONFIG", "SET", "maxmemory", "1")
			if batched {
				answers[i] = f.apply(writes...).Results
			} else {
				for _, w := range writes {
					answers[i] = append(answers[i], f.apply(w).Results...)
				}
			}
			f.consistent()
		}
		for i := range writes {
			if one, batch := answers[0][i].Outcome, answers[1][i].Outcome; one != batch {
				t.Errorf("%s %s: %d alone, %d in a batch", string(writes[i].Op), writes[i].Key, one, batch)
			}
		}
	}
}

func TestAWriteThatNeedsTooManyEvictionsGetsThereInSteps(t *testing.T) {
	f := newFixture(t)
	f.limits = store.Limits{MaxKeys: 10000, MaxBytes: 30000, Eviction: "rank"}
	for i := range 5 {
		var writes []store.Write
		for n := range 1000 {
			writes = append(writes, create(fmt.Sprintf("%d-%03d", i, n), "v"))
		}
		f.apply(writes...)
	}
	big := create("big", strings.Repeat("v", 29000))
	steps := 0
	for {
		steps++
		a := f.apply(big)
		if len(a.Evicted) > 1000 || a.Bytes > 30000 {
			t.Fatalf("%d evicted, %d bytes", len(a.Evicted), a.Bytes)
		}
		if a.Results[0].Outcome == store.Created {
			break
		}
		if a.Results[0].Outcome != store.TooMuchAtOnce || steps > 10 {
			t.Fatalf("step %d: %+v", steps, a.Results[0])
		}
	}
	if steps < 2 {
		t.Errorf("%d steps", steps)
	}
	f.consistent()
}

func TestAServerThatStaysReadOnlyIsLeftEverLessOften(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.do("REPLICAOF", "127.0.0.1", "1") // a closed port
	refused := func() (renewed bool) {
		before, _ := f.store.current(f.ctx())
		f.outcomes(f.apply(put("a", "2")), store.Refused)
		after, _ := f.store.current(f.ctx())
		return before != after
	}
	if !refused() || refused() || refused() {
		t.Error("want new connections once")
	}
	for range 10 {
		f.store.mu.Lock()
		f.store.renewed = f.store.renewed.Add(-f.store.renewPause)
		f.store.mu.Unlock()
		if !refused() {
			t.Error("want new connections after the pause")
		}
	}
	if f.store.renewPause != time.Minute {
		t.Errorf("the pause grew to %v", f.store.renewPause)
	}
	f.do("REPLICAOF", "NO", "ONE")
	f.outcomes(f.apply(put("a", "3")), store.Replaced)
	if f.store.renewPause != 0 {
		t.Errorf("the pause is still %v after a write", f.store.renewPause)
	}
}
