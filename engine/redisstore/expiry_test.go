package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func lasting(w store.Write, ttl time.Duration) store.Write {
	w.TTL = ttl
	return w
}

// fillLasting creates n entries that expire after ttl.
func (f *fixture) fillLasting(format string, n int, ttl time.Duration) {
	f.Helper()
	var writes []store.Write
	for i := range n {
		writes = append(writes, lasting(create(fmt.Sprintf(format, i), "v"), ttl))
	}
	f.apply(writes...)
}

// advance moves the store's clock on, as if another server had been ahead.
func (f *fixture) advance(d time.Duration) {
	f.Helper()
	field := f.redis.HGet(f.ctx(), "{cache}:state", "expiring").Val()
	if len(field) != expiringSize {
		f.Fatal("no entry expires")
	}
	latest, _ := Expiring(field)
	now := f.redis.Time(f.ctx()).Val()
	if latest.After(now) {
		now = latest
	}
	f.do("HSET", "{cache}:state", "expiring", Advanced(field, now.Add(d)))
}

// pass waits until d has passed on the server's own clock.
func (f *fixture) pass(d time.Duration) {
	f.Helper()
	begin := f.redis.Time(f.ctx()).Val()
	for f.redis.Time(f.ctx()).Val().Sub(begin) <= d {
		if f.Context().Err() != nil {
			f.Fatal("the clock of the server stands still")
		}
	}
}

// workOff applies batches without writes until nothing that has expired is left.
func (f *fixture) workOff() (expired []string) {
	f.Helper()
	for {
		a := f.apply()
		expired = append(expired, a.Expired...)
		if len(a.Evicted) > 0 {
			f.Errorf("evicted %q", a.Evicted)
		}
		if !a.Due {
			return expired
		}
	}
}

// listed fails the test unless the entries with a life, the list of these, and their count
// agree.
func (f *fixture) listed() {
	f.Helper()
	want, got := map[string]float64{}, map[string]float64{}
	for key, text := range f.redis.HGetAll(f.ctx(), "{cache}:meta").Val() {
		if m, ok := decodeMeta(text); ok && m.expires > 0 {
			want[key] = float64(m.expires)
		}
	}
	for _, z := range f.redis.ZRangeWithScores(f.ctx(), "{cache}:expiries", 0, -1).Val() {
		got[z.Member.(string)] = z.Score
	}
	if !maps.Equal(got, want) {
		f.Errorf("%d are listed, and %d expire by their metas", len(got), len(want))
	}
	if _, n := Expiring(f.redis.HGet(f.ctx(), "{cache}:state", "expiring").Val()); n != len(want) {
		f.Errorf("%d expire, counted as %d", len(want), n)
	}
}

// mended applies batches until the structures agree. Their count is right only after two
// passes over all values.
func (f *fixture) mended() {
	f.Helper()
	f.settle()
	for range 20 {
		f.apply()
	}
	f.settle()
	f.listed()
}

// harms are what other programs, and Redis itself, may do to the entries that expire.
var harms = map[string]func(f *fixture){
	"nothing":                        func(*fixture) {},
	"the list evicted by Redis":      func(f *fixture) { f.do("DEL", "{cache}:expiries") },
	"a member removed":               func(f *fixture) { f.do("ZREM", "{cache}:expiries", "e1", "e7") },
	"an unknown member that is due":  func(f *fixture) { f.do("ZADD", "{cache}:expiries", 5, "foreign") },
	"unknown members that are due":   func(f *fixture) { f.addMembers(700) },
	"an unknown member of tomorrow":  func(f *fixture) { f.do("ZADD", "{cache}:expiries", 9e15, "foreign") },
	"an entry that does not expire":  func(f *fixture) { f.do("ZADD", "{cache}:expiries", 5, "live7") },
	"one without a life, tomorrow":   func(f *fixture) { f.do("ZADD", "{cache}:expiries", 9e15, "live7") },
	"members too early":              func(f *fixture) { f.do("ZADD", "{cache}:expiries", 5, "e3", 6, "e4") },
	tooLate:                          func(f *fixture) { f.do("ZADD", "{cache}:expiries", 9e15, "e3", "inf", "e4") },
	"one replaced by an unknown one": func(f *fixture) { f.do("ZREM", "{cache}:expiries", "e1"); f.do("ZADD", "{cache}:expiries", 5, "x") },
	"the list emptied and spoiled":   func(f *fixture) { f.do("DEL", "{cache}:expiries"); f.addMembers(300) },
	"the field spoiled":              func(f *fixture) { f.do("HSET", "{cache}:state", "expiring", "nan") },
	"the field lost":                 func(f *fixture) { f.do("HDEL", "{cache}:state", "expiring") },
	"the state evicted by Redis":     func(f *fixture) { f.do("DEL", "{cache}:state") },
	"the state and the list evicted": func(f *fixture) { f.do("DEL", "{cache}:state", "{cache}:expiries") },
	"the ranks evicted by Redis":     func(f *fixture) { f.do("DEL", "{cache}:ranks") },
	"the meta evicted by Redis":      func(f *fixture) { f.do("DEL", "{cache}:meta") },
	"some meta removed":              func(f *fixture) { f.do("HDEL", "{cache}:meta", "e1", "e2", "live1") },
	"some values removed":            func(f *fixture) { f.do("HDEL", "{cache}:values", "e1", "e2", "live1") },
	"the values evicted by Redis":    func(f *fixture) { f.do("DEL", "{cache}:values") },
	"a cursor of the repair spoiled": func(f *fixture) {
		f.do("HSET", "{cache}:state", "repair_expiries", "nan", "repair_again", "nan")
		f.do("DEL", "{cache}:expiries")
	},
}

// tooLate is a harm that shows only when such an entry is read, written or evicted.
const tooLate = "members too late"

func (f *fixture) addMembers(n int) {
	f.Helper()
	var members []redis.Z
	for i := range n {
		members = append(members, redis.Z{Score: float64(i), Member: fmt.Sprint("foreign", i)})
	}
	f.redis.ZAdd(f.ctx(), "{cache}:expiries", members...)
}

// restarted applies the batch with which a node begins, or takes new settings.
func (f *fixture) restarted() {
	f.Helper()
	if _, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, SetLimits: true}); err != nil {
		f.Fatal(err)
	}
}

func TestWhatOthersDoToEntriesThatExpireIsRepaired(t *testing.T) {
	server := redistest.Start(t)
	for name, harm := range harms {
		if name == tooLate {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := fixtureOn(t, server)
			f.limits.MaxKeys = 1000
			f.fill("live%d", 50)
			f.fillLasting("e%d", 500, time.Hour)
			harm(f)
			values := f.redis.HLen(f.ctx(), "{cache}:values").Val()
			f.restarted()
			f.workOff()
			// Nothing that is alive is lost by it, and the capacity holds.
			if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n != values {
				t.Errorf("%d values of %d are left", n, values)
			}
			f.mended()
			before := f.count("expiries")
			if a := f.apply(lasting(create("new", "v"), time.Hour), lasting(put("e5", "w"), time.Hour), put("e6", "w"), remove("e8")); a.Keys > 1000 {
				t.Errorf("%d keys", a.Keys)
			}
			f.listed()
			if before == 0 && values > 0 {
				t.Error("nothing expires any more")
			}
			f.advance(time.Hour)
			f.workOff()
			f.mended()
			for key := range f.redis.HGetAll(f.ctx(), "{cache}:values").Val() {
				if !strings.HasPrefix(key, "live") && key != "e6" {
					t.Errorf("%s lives on", key)
				}
			}
		})
	}
}

// The repair goes through each structure from where it was left. It may have passed the
// list's member before it comes to the meta, or to the rank, and ends with the last of these.
func TestAnEntryThatOthersRemovedIsListedNoMore(t *testing.T) {
	server := redistest.Start(t)
	for name, harmed := range map[string][]string{
		"its value":                {"values"},
		"its value and meta":       {"values", "meta"},
		"its value, and its place": {"values", "ranks"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fixtureOn(t, server)
			f.limits.MaxKeys = 1000
			f.fill("live%d", 50)
			f.fillLasting("e%d", 500, time.Hour)
			for i := range 100 {
				key := fmt.Sprint("e", i)
				m, _ := decodeMeta(f.redis.HGet(f.ctx(), "{cache}:meta", key).Val())
				for _, name := range harmed {
					if name == "ranks" {
						f.do("ZREM", "{cache}:ranks", memberOf(m.insertion, key))
					} else {
						f.do("HDEL", "{cache}:"+name, key)
					}
				}
				for range 20 {
					f.apply()
				}
				f.listed()
			}
		})
	}
}

func TestAnEntryThatOthersRemovedIsListedNoMoreAfterAnEviction(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 500
	f.fillLasting("e%d", 500, time.Hour)
	for i := range 20 { // the oldest leave first
		f.do("HDEL", "{cache}:values", fmt.Sprint("e", 2*i))
		f.do("HDEL", "{cache}:meta", fmt.Sprint("e", 2*i))
		a := f.apply(create(fmt.Sprint("a", i), "v"), create(fmt.Sprint("b", i), "v"))
		if want := []string{fmt.Sprint("e", 2*i+1)}; !slices.Equal(a.Evicted, want) {
			t.Fatalf("evicted %q, want %q", a.Evicted, want)
		}
		for range 20 {
			f.apply()
		}
		f.consistent()
		f.listed()
	}
}

// The time of the server alone decides here, since what the state knows may be lost.
func TestNothingThatHasExpiredIsAnsweredWhateverOthersDo(t *testing.T) {
	server := redistest.Start(t)
	for name, harm := range harms {
		if strings.Contains(name, "meta") {
			continue // it has the lives
		}
		t.Run(name, func(t *testing.T) {
			f := fixtureOn(t, server)
			f.limits.MaxKeys = 1000
			f.fill("live%d", 50)
			f.fillLasting("e%d", 500, time.Millisecond)
			f.apply(lasting(create("later", "v"), time.Hour))
			f.pass(time.Millisecond)
			harm(f)
			got := f.fetch("e1", "live2", "e9", "later")
			if got.Entries[0] != nil || got.Entries[2] != nil {
				t.Errorf("answered: %+v", got.Entries)
			}
			if lost := name == "the values evicted by Redis"; lost != (got.Entries[1] == nil) || lost != (got.Entries[3] == nil) {
				t.Errorf("not answered: %+v", got.Entries)
			}
			if got.Entries[3] != nil {
				if left := time.Until(got.Expires[3]); left <= 0 || left > time.Hour {
					t.Errorf("%v are left of an hour", left)
				}
			}
			f.restarted()
			matched := put("e2", "w")
			matched.IfMatch = store.AnyVersion
			a := f.apply(create("e1", "w"), matched, remove("e3"), put("e4", "w"))
			f.outcomes(a, store.Created, store.PreconditionFailed, store.Absent, store.Created)
			f.workOff()
			f.mended()
			if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n > 53 {
				t.Errorf("%d values are left", n)
			}
		})
	}
}

func TestAFewEntriesExpireThoughOthersListMore(t *testing.T) {
	f := newFixture(t)
	f.apply(lasting(create("k", "v"), time.Hour))
	f.do("ZADD", "{cache}:expiries", 1, "a", 2, "b", 3, "c")
	f.workOff()
	f.mended()
	f.advance(time.Hour)
	if got := f.fetch("k"); got.Entries[0] != nil {
		t.Error("it is answered")
	}
	if expired := f.workOff(); len(expired) != 1 {
		t.Errorf("expired: %q", expired)
	}
	if n := f.redis.Exists(f.ctx(), "{cache}:expiries").Val(); n != 0 || f.redis.HExists(f.ctx(), "{cache}:state", "expiring").Val() {
		t.Error("the list or the field stays")
	}
}

// A batch never sees to more of the list than its bound, even if the members are not
// entries.
func TestAListThatOthersFilledIsWorkedOffInSteps(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 3
	f.fill("live%d", 2)
	f.apply(lasting(create("k", "v"), time.Hour))
	f.addMembers(10_000)
	a := f.apply(create("new", "v"))
	if a.Results[0].Outcome == store.TooMuchAtOnce && len(a.Evicted) > 0 {
		t.Errorf("%+v", a)
	}
	if left := f.count("expiries"); left < 10_000-2000 {
		t.Errorf("one batch removed %d members", 10_001-left)
	}
	f.workOff()
	f.mended()
}

func TestAFullRedisStillRemovesWhatHasExpired(t *testing.T) {
	underEach(t, func(f *fixture) {
		f.apply(lasting(create("a", "1"), time.Hour), lasting(create("b", "2"), time.Hour), create("live", "3"))
		f.advance(time.Hour)
		f.do("CONFIG", "SET", "maxmemory", "1")
		if got := f.fetch("a", "b", "live"); got.Entries[0] != nil || got.Entries[1] != nil || got.Entries[2] == nil {
			f.Errorf("%+v", got.Entries)
		}
		matched := put("b", "x")
		matched.IfMatch = store.AnyVersion
		a := f.apply(create("a", "x"), matched, remove("b"), lasting(create("c", "x"), time.Hour))
		f.outcomes(a, store.Refused, store.PreconditionFailed, store.Absent, store.Refused)
		if !strings.Contains(a.Results[0].Reason, "OOM") || a.Keys != 1 || a.Expiring != 0 || len(a.Expired) != 2 {
			f.Errorf("%+v", a)
		}
		f.consistent()
		f.listed()
		f.do("CONFIG", "SET", "maxmemory", "0")
		f.outcomes(f.apply(create("a", "x")), store.Created)
	})
}

func TestOnAReadOnlyReplicaWhatHasExpiredIsAbsent(t *testing.T) {
	for _, torn := range []bool{false, true} {
		underEach(t, func(f *fixture) {
			f.apply(lasting(create("a", "1"), time.Hour), lasting(create("b", "2"), time.Hour), create("live", "3"))
			f.advance(time.Hour)
			if torn {
				f.do("ZREM", "{cache}:expiries", "a")
			}
			f.do("REPLICAOF", "127.0.0.1", "1") // a closed port
			before := f.dump()
			if got := f.fetch("a", "b", "live"); got.Entries[0] != nil || got.Entries[1] != nil || got.Entries[2] == nil {
				f.Errorf("%+v", got.Entries)
			}
			matched := put("b", "x")
			matched.IfMatch = store.AnyVersion
			a := f.apply(create("a", "x"), matched, remove("b"), remove("b"), put("live", "x"))
			f.outcomes(a, store.Refused, store.PreconditionFailed, store.Absent, store.Absent, store.Refused)
			if len(a.Expired) != 0 || a.Expiring != 2 || a.Due {
				f.Errorf("%+v", a)
			}
			if after := f.dump(); after != before {
				f.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			f.do("REPLICAOF", "NO", "ONE")
			f.outcomes(f.apply(create("a", "x"), remove("b")), store.Created, store.Absent)
			f.mended()
		})
	}
}

func TestAListOfTheWrongTypeFailsTheBatchAndChangesNothing(t *testing.T) {
	for _, expires := range []bool{false, true} {
		underEach(t, func(f *fixture) {
			f.apply(create("a", "1"))
			if expires {
				f.apply(lasting(create("b", "1"), time.Hour))
			}
			f.do("SET", "{cache}:expiries", "a string")
			before := f.dump()
			_, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{lasting(create("c", "2"), time.Hour), remove("a")}})
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFateUnknown) || !strings.Contains(err.Error(), "WRONGTYPE") {
				f.Errorf("got %v", err)
			}
			if after := f.dump(); after != before {
				f.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if f.fetch("a").Entries[0] == nil {
				f.Error("a is not answered")
			}
			if h := f.store.Probe(f.ctx(), 0); h.Reads != nil || store.CauseOf(h.Writes) != store.WrongType {
				f.Errorf("the probe says %+v", h)
			}
		})
	}
}

func TestABatchThatIsRepeatedExpiresOnce(t *testing.T) {
	r := newRoom(t, redistest.Start(t), "cache")
	r.limits.MaxKeys = 10
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := r.store.Apply(ctx, store.Batch{Limits: r.limits, SetLimits: true}); err != nil {
		t.Fatal(err)
	}
	r.apply(lasting(create("a", "1"), time.Hour), lasting(create("b", "1"), time.Hour), lasting(create("c", "1"), 3*time.Hour))
	field := r.redis.HGet(t.Context(), "{cache}:state", "expiring").Val()
	latest, _ := Expiring(field)
	r.redis.HSet(t.Context(), "{cache}:state", "expiring", Advanced(field, latest.Add(2*time.Hour)))

	events := r.redis.Subscribe(t.Context(), "{cache}:events:0")
	defer events.Close()
	if _, err := events.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose}, faultproxy.Fault{Ending: faultproxy.Cut})
	a := r.apply(lasting(create("a", "2"), 2*time.Hour))
	r.outcome(a, store.Created)
	if len(a.Expired) != 2 || a.Expiring != 2 || a.Keys != 3 {
		t.Errorf("%+v", a)
	}
	r.apply(put("filler", "the last one"))
	for count := map[string]int{}; ; {
		m, err := events.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b"} {
			count[key] += strings.Count(m.Payload, `["expired","`+key+`"`)
		}
		if strings.Contains(m.Payload, "filler") {
			if count["a"] != 1 || count["b"] != 1 {
				t.Errorf("reported as expired: %v", count)
			}
			break
		}
	}
}

func TestEntriesThatDoNotExpireTakeNoMoreMemory(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 1000
	f.fill("%04d", 1000)
	usage := func(name string) int64 { return f.redis.MemoryUsage(f.ctx(), "{cache}:"+name, 0).Val() }
	before := map[string]int64{}
	for _, name := range []string{"values", "meta", "ranks", "state"} {
		before[name] = usage(name)
	}
	// They get lives, and lose them.
	for _, ttl := range []time.Duration{time.Hour, 0} {
		for i := range 1000 {
			f.apply(lasting(put(fmt.Sprintf("%04d", i), "v"), ttl))
		}
	}
	if f.redis.Exists(f.ctx(), "{cache}:expiries").Val() != 0 || f.redis.HExists(f.ctx(), "{cache}:state", "expiring").Val() {
		t.Error("the list or the field stays")
	}
	for name, was := range before {
		// A replaced entry has the number of its last write: 6 bytes.
		if is := usage(name); is > was && name != "meta" || is > was+16*1000 {
			t.Errorf("%s takes %d bytes, %d before", name, is, was)
		}
	}
	f.apply(lasting(put("0001", "v"), time.Hour))
	if encoding := f.redis.ObjectEncoding(f.ctx(), "{cache}:state").Val(); encoding != "listpack" && encoding != "ziplist" {
		t.Errorf("the state is a %s", encoding)
	}
}
