package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// callTime bounds calls that meet a fault. A try has half of what is left, so
// a first one without an answer is given up after half of it.
const callTime = 3 * time.Second

// room is a namespace of its own, which a store reaches through a proxy of
// its own; any number of them share a server.
type room struct {
	*testing.T
	name   string
	server *redistest.Server
	redis  *redis.Client
	proxy  *faultproxy.Proxy
	store  *Store
	limits store.Limits
}

func newRoom(t *testing.T, server *redistest.Server, name string) *room {
	t.Helper()
	r := &room{T: t, name: name, server: server, redis: server.Client(), proxy: faultproxy.Start(t, server.Addr)}
	r.limits = store.Limits{MaxKeys: 2, Eviction: "rank"}
	r.store = r.open(r.proxy.URL())
	// Now the server knows the scripts, and the store has connections.
	r.outcome(r.apply(create("filler", "x")), store.Created)
	r.fetch("none")
	return r
}

func (r *room) open(url string) *Store {
	r.Helper()
	target, err := Parse(url)
	if err != nil {
		r.Fatal(err)
	}
	s := New(Config{Target: target, Namespace: r.name, Logger: zap.NewNop()})
	r.Cleanup(func() { _ = s.Close() })
	return s
}

func (r *room) try(w ...store.Write) (store.Applied, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	return r.store.Apply(ctx, store.Batch{Writes: w, Limits: r.limits})
}

func (r *room) apply(w ...store.Write) store.Applied {
	r.Helper()
	a, err := r.try(w...)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// direct applies a write of somebody else.
func (r *room) direct(w store.Write) store.Applied {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	a, err := r.open(r.server.URL()).Apply(ctx, store.Batch{Writes: []store.Write{w}, Limits: r.limits})
	if err != nil {
		r.Fatal(err)
	}
	return a
}

func (r *room) fetch(key string) *store.Entry {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	f, err := r.store.Fetch(ctx, []string{key})
	if err != nil {
		r.Fatal(err)
	}
	return f.Entries[0]
}

func (r *room) outcome(a store.Applied, want store.Outcome) {
	r.Helper()
	if got := a.Results[len(a.Results)-1]; got.Outcome != want {
		r.Errorf("outcome %d (%s), want %d", got.Outcome, got.Reason, want)
	}
}

// contents is all there is, with what an extra application would change: the
// write number, the version of each entry and its rank.
type contents struct {
	number  string
	entries map[string]string
}

func (r *room) contents() contents {
	r.Helper()
	ctx, prefix := context.Background(), "{"+r.name+"}:"
	c := contents{number: r.redis.HGet(ctx, prefix+"state", "number").Val(), entries: map[string]string{}}
	values, metas := r.redis.HGetAll(ctx, prefix+"values").Val(), r.redis.HGetAll(ctx, prefix+"meta").Val()
	ranks := r.redis.ZRangeWithScores(ctx, prefix+"ranks", 0, -1).Val()
	if len(values) != len(metas) || len(values) != len(ranks) {
		r.Errorf("%d values, %d meta, %d ranks", len(values), len(metas), len(ranks))
	}
	for _, member := range ranks {
		key := member.Member.(string)[16:]
		e := decodeEntry(values[key], metas[key])
		c.entries[key] = fmt.Sprintf("%s at %x, rank %v", e.Data, e.Version.Number, member.Score)
	}
	return c
}

func (r *room) wantContents(want contents) {
	r.Helper()
	if got := r.contents(); got.number != want.number || !maps.Equal(got.entries, want.entries) {
		r.Errorf("got %v, want %v", got, want)
	}
}

// until polls what the proxy and the server bring about.
func (r *room) until(what string, condition func() bool) {
	r.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	patience := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-patience:
			r.Fatalf("not within 20 s: %s", what)
		}
	}
}

// deeds are calls, each with the one answer that it may have and what is
// there afterwards. The filler was written by 1, and a key "k" that is there
// before was written by 2.
var deeds = []struct {
	name   string
	exists bool
	do     func(r *room)
	after  contents
}{
	{"a create", false, func(r *room) {
		r.outcome(r.apply(create("k", "new")), store.Created)
	}, contents{"2", map[string]string{"filler": "x at 1, rank 0", "k": "new at 2, rank 0"}}},
	{"a create that evicts", true, func(r *room) {
		a := r.apply(create("third", "new"))
		r.outcome(a, store.Created)
		if len(a.Evicted) != 1 || a.Evicted[0] != "filler" {
			r.Errorf("evicted %v", a.Evicted)
		}
	}, contents{"3", map[string]string{"k": "old at 2, rank 0", "third": "new at 3, rank 0"}}},
	{"a replacement", true, func(r *room) {
		r.outcome(r.apply(put("k", "new")), store.Replaced)
	}, contents{"3", map[string]string{"filler": "x at 1, rank 0", "k": "new at 3, rank 0"}}},
	{"a deletion", true, func(r *room) {
		r.outcome(r.apply(remove("k")), store.Deleted)
	}, contents{"3", map[string]string{"filler": "x at 1, rank 0"}}},
	{"a batch of all", true, func(r *room) {
		a := r.apply(remove("filler"), create("m", "1"), put("k", "new"), remove("m"), create("k", "no"))
		for i, want := range []store.Outcome{store.Deleted, store.Created, store.Replaced, store.Deleted, store.Conflict} {
			if a.Results[i].Outcome != want {
				r.Errorf("write %d: outcome %d, want %d", i, a.Results[i].Outcome, want)
			}
		}
	}, contents{"6", map[string]string{"k": "new at 5, rank 0"}}},
	{"a fetch", true, func(r *room) {
		if e := r.fetch("k"); e == nil || string(e.Data) != "old" {
			r.Errorf("fetched %v", e)
		}
	}, contents{"2", map[string]string{"filler": "x at 1, rank 0", "k": "old at 2, rank 1"}}},
}

func TestAFaultOnTheWayNeverMakesACallHappenTwiceOrFail(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, fault := range map[string]faultproxy.Fault{
		"a lost reply":              {Ending: faultproxy.Lose},
		"a reset in mid-reply":      {Ending: faultproxy.Cut},
		"no reply":                  {Ending: faultproxy.Silence},
		"a reply that comes late":   {Delay: callTime},
		"a reply that takes long":   {Delay: 50 * time.Millisecond},
		"a refused command":         {Ending: faultproxy.Refuse},
		"a half-open connection":    {Ending: faultproxy.Mute},
		"a command that comes late": {}, // held back below
	} {
		for _, deed := range deeds {
			t.Run(deed.name+" under "+name, func(t *testing.T) {
				t.Parallel()
				r := newRoom(t, server, t.Name())
				if deed.exists {
					r.apply(create("k", "old"))
				}
				late := make(chan struct{})
				fault := fault
				if name == "a command that comes late" {
					fault.Hold = late
				}
				_, before := r.proxy.Scripts()
				r.proxy.Next(fault)
				deed.do(r)
				r.wantContents(deed.after)
				close(late)
				if fault.Hold != nil {
					r.until("the late command was run as well", func() bool {
						_, now := r.proxy.Scripts()
						return now == before+2
					})
					r.wantContents(deed.after)
				}
				// The writer goes on.
				r.outcome(r.apply(put("k", "next")), map[bool]store.Outcome{true: store.Replaced, false: store.Created}[r.contents().entries["k"] != ""])
			})
		}
	}
}

func TestSeveralFaultsInARowAreOneCallAllTheSame(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, deed := range deeds {
		t.Run(deed.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, server, t.Name())
			if deed.exists {
				r.apply(create("k", "old"))
			}
			r.proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose}, faultproxy.Fault{Ending: faultproxy.Refuse},
				faultproxy.Fault{Ending: faultproxy.Cut}, faultproxy.Fault{Ending: faultproxy.Lose})
			deed.do(r)
			r.wantContents(deed.after)
		})
	}
}

// A paused server has the commands of all tries before it, and runs every one
// when it goes on.
func TestTriesThatAHungRedisRunsTogetherAreOneCall(t *testing.T) {
	t.Parallel()
	for _, deed := range deeds {
		t.Run(deed.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, redistest.Start(t), "cache")
			if deed.exists {
				r.apply(create("k", "old"))
			}
			// A new connection would wait for its greeting before it sends.
			r.twoConnections()
			before, answered := r.proxy.Scripts()
			r.server.Pause()
			deeds := make(chan struct{})
			go func() {
				defer close(deeds)
				deed.do(r)
			}()
			r.until("two tries are on their way", func() bool {
				came, _ := r.proxy.Scripts()
				return came >= before+2
			})
			r.server.Resume()
			<-deeds
			r.until("both tries ran", func() bool {
				_, now := r.proxy.Scripts()
				return now >= answered+2
			})
			r.wantContents(deed.after)
		})
	}
}

// twoConnections makes the store hold two that are idle.
func (r *room) twoConnections() {
	hold := make(chan struct{})
	r.proxy.Next(faultproxy.Fault{Hold: hold}, faultproxy.Fault{Hold: hold})
	before, _ := r.proxy.Scripts()
	var fetching sync.WaitGroup
	for range 2 {
		fetching.Go(func() { r.fetch("none") })
	}
	r.until("two fetches at once", func() bool {
		came, _ := r.proxy.Scripts()
		return came == before+2
	})
	close(hold)
	fetching.Wait()
}

func TestABatchWithoutAnyAnswerIsOfUnknownFateAndAppliedAtMostOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		fault   faultproxy.Fault
		applied bool
		unknown bool
	}{
		"executed, and every reply lost":    {faultproxy.Fault{Ending: faultproxy.Lose}, true, true},
		"executed, and no reply":            {faultproxy.Fault{Ending: faultproxy.Silence}, true, true},
		"never executed, and no reply":      {faultproxy.Fault{Ending: faultproxy.Mute}, false, true},
		"never executed, connections reset": {faultproxy.Fault{Ending: faultproxy.Refuse}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, server, t.Name())
			r.apply(create("k", "old"))
			r.proxy.Rule(func() faultproxy.Fault { return c.fault })
			begin := time.Now()
			if _, err := r.try(put("k", "new")); !errors.Is(err, store.ErrFateUnknown) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begin); took > callTime+10*time.Second {
				t.Errorf("it took %v", took)
			}
			r.proxy.Rule(nil)
			want := contents{"2", map[string]string{"filler": "x at 1, rank 0", "k": "old at 2, rank 0"}}
			if c.applied {
				want = contents{"3", map[string]string{"filler": "x at 1, rank 0", "k": "new at 3, rank 0"}}
			}
			r.wantContents(want)
		})
	}
}

func TestABatchOfUnknownFateThatComesTooLateIsRefused(t *testing.T) {
	t.Parallel()
	r := newRoom(t, redistest.Start(t), "cache")
	r.apply(create("k", "old"))
	late := make(chan struct{})
	r.proxy.Rule(func() faultproxy.Fault { return faultproxy.Fault{Hold: late} })
	before, answered := r.proxy.Scripts()
	if _, err := r.try(put("k", "late")); !errors.Is(err, store.ErrFateUnknown) {
		t.Errorf("got %v", err)
	}
	tries, _ := r.proxy.Scripts()
	if tries < before+2 {
		t.Fatalf("%d tries", tries-before)
	}
	r.proxy.Rule(nil)
	r.outcome(r.retry(put("k", "later")), store.Replaced)
	close(late)
	r.until("all tries came through", func() bool {
		_, now := r.proxy.Scripts()
		return now >= answered+tries-before+1
	})
	r.wantContents(contents{"3", map[string]string{"filler": "x at 1, rank 0", "k": "later at 3, rank 0"}})
}

// retry applies as soon as the breaker lets it.
func (r *room) retry(w store.Write) store.Applied {
	r.Helper()
	var a store.Applied
	r.until("the store answers again", func() bool {
		var err error
		a, err = r.try(w)
		return err == nil
	})
	return a
}

// What a batch was told stays true for it: when the first try of a write that
// changed nothing comes late, the state may have become one in which it would
// change something.
func TestAWriteThatWasToldItChangedNothingNeverDoes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		write     store.Write
		told      store.Outcome
		meanwhile store.Write
	}{
		"a conflict":            {create("filler", "late"), store.Conflict, remove("filler")},
		"an absent key":         {remove("k"), store.Absent, create("k", "v")},
		"a precondition failed": {store.Write{Op: store.Put, Key: "filler", IfNoneMatch: store.AnyVersion, Value: create("", "late").Value}, store.PreconditionFailed, remove("filler")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, server, t.Name())
			late := make(chan struct{})
			r.proxy.Next(faultproxy.Fault{Hold: late})
			_, before := r.proxy.Scripts()
			r.outcome(r.apply(c.write), c.told)
			r.direct(c.meanwhile)
			want := r.contents()
			close(late)
			r.until("the late command came through", func() bool {
				_, now := r.proxy.Scripts()
				return now == before+2
			})
			r.wantContents(want)
		})
	}
}
