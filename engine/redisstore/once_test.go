package redisstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// deeds are calls. Each has only one correct answer, which do checks, and the contents
// after it. The filler has the write number 1. If "k" exists before, it has the number 2.
var deeds = []struct {
	name   string
	exists bool
	do     func(r *room)
	after  contents
	// unraised are the contents of a fetch whose first try did not run. The next try raises
	// nothing, since the first one may have.
	unraised contents
}{
	{"a create", false, func(r *room) {
		r.outcome(r.apply(create("k", "new")), store.Created)
	}, contents{2, map[string]string{"filler": "x at 1, rank 0", "k": "new at 2, rank 0"}}, contents{}},
	{"a create that evicts", true, func(r *room) {
		a := r.apply(create("third", "new"))
		r.outcome(a, store.Created)
		if len(a.Evicted) != 1 || a.Evicted[0] != "filler" {
			r.Errorf("evicted %v", a.Evicted)
		}
	}, contents{3, map[string]string{"k": "old at 2, rank 0", "third": "new at 3, rank 0"}}, contents{}},
	{"a replacement", true, func(r *room) {
		r.outcome(r.apply(put("k", "new")), store.Replaced)
	}, contents{3, map[string]string{"filler": "x at 1, rank 0", "k": "new at 3, rank 0"}}, contents{}},
	{"a deletion", true, func(r *room) {
		r.outcome(r.apply(remove("k")), store.Deleted)
	}, contents{3, map[string]string{"filler": "x at 1, rank 0"}}, contents{}},
	{"a batch of all", true, func(r *room) {
		a := r.apply(remove("filler"), create("m", "1"), put("k", "new"), remove("m"), create("k", "no"))
		for i, want := range []store.Outcome{store.Deleted, store.Created, store.Replaced, store.Deleted, store.Conflict} {
			if a.Results[i].Outcome != want {
				r.Errorf("write %d: outcome %d, want %d", i, a.Results[i].Outcome, want)
			}
		}
	}, contents{6, map[string]string{"k": "new at 5, rank 0"}}, contents{}},
	{"a fetch", true, func(r *room) {
		if e := r.fetch("k"); e == nil || string(e.Data) != "old" {
			r.Errorf("fetched %v", e)
		}
	}, contents{2, map[string]string{"filler": "x at 1, rank 0", "k": "old at 2, rank 1"}}, unraised},
	{"a fetch that tells of uses", true, func(r *room) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		got, err := r.store.Fetch(ctx, []string{"k"}, store.AnyRoom, store.Use{Key: "k", Count: 5}, store.Use{Key: "filler", Count: 2})
		if err != nil || got.Entries[0] == nil {
			r.Errorf("%+v, %v", got, err)
		}
	}, contents{2, map[string]string{"filler": "x at 1, rank 2", "k": "old at 2, rank 6"}}, unraised},
}

var unraised = contents{2, map[string]string{"filler": "x at 1, rank 0", "k": "old at 2, rank 0"}}

func TestAFaultOnTheWayNeverMakesACallHappenTwiceOrFail(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	run, wait := together(t)
	defer wait()
	for name, fault := range map[string]faultproxy.Fault{
		"a lost reply":              {Ending: faultproxy.Lose},
		"a reset in mid-reply":      {Ending: faultproxy.Cut},
		"no reply":                  {Ending: faultproxy.Silence},
		"a reply that comes late":   {Delay: 3 * time.Second},
		"a reply that takes long":   {Delay: 50 * time.Millisecond},
		"a refused command":         {Ending: faultproxy.Refuse},
		"a half-open connection":    {Ending: faultproxy.Mute},
		"a command that comes late": {}, // held back below
	} {
		for _, deed := range deeds {
			run(deed.name+" under "+name, func(t *testing.T) {
				r := newRoom(t, server, t.Name())
				if deed.exists {
					r.apply(create("k", "old"))
				}
				late := make(chan struct{})
				fault := fault
				if name == "a command that comes late" {
					fault.Hold = late
				}
				after := deed.after
				runs := fault.Ending != faultproxy.Refuse && fault.Ending != faultproxy.Mute && fault.Hold == nil
				if !runs && deed.unraised.entries != nil {
					after = deed.unraised
				}
				_, before := r.proxy.Scripts()
				r.proxy.Next(fault)
				deed.do(r)
				r.wantContents(after)
				close(late)
				if fault.Hold != nil {
					r.until("the late command was run as well", func() bool {
						_, now := r.proxy.Scripts()
						return now == before+2
					})
					r.wantContents(deed.after)
				}
				// The writer goes on.
				goesOn := store.Created
				if deed.after.entries["k"] != "" {
					goesOn = store.Replaced
				}
				r.outcome(r.apply(put("k", "next")), goesOn)
			})
		}
	}
}

func TestSeveralFaultsInARowAreOneCallAllTheSame(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	run, wait := together(t)
	defer wait()
	for _, deed := range deeds {
		run(deed.name, func(t *testing.T) {
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

// The commands of all tries arrive while the server is paused. It runs every one when it
// continues.
func TestTriesThatAHungRedisRunsTogetherAreOneCall(t *testing.T) {
	t.Parallel()
	run, wait := together(t)
	defer wait()
	for _, deed := range deeds {
		run(deed.name, func(t *testing.T) {
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

// A connection that fails in its greeting carried nothing. So the call did not run: its next
// try also raises, and a write is not said to have been applied perhaps.
func TestACallIsNotSentBeforeTheGreetingOfItsConnection(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	run, wait := together(t)
	defer wait()
	for _, deed := range deeds {
		run(deed.name, func(t *testing.T) {
			r := newRoom(t, server, t.Name())
			if deed.exists {
				r.apply(create("k", "old"))
			}
			r.proxy.Freeze()
			r.store.renew("") // the next call needs a new connection
			tries := r.tries()
			done := make(chan struct{})
			go func() {
				defer close(done)
				deed.do(r)
			}()
			r.until("a try has failed", func() bool { return r.tries() > tries })
			r.proxy.Thaw()
			<-done
			r.wantContents(deed.after)

			r.proxy.Freeze()
			r.store.renew("")
			if _, err := r.try(shortTime, put("k", "late")); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a write without an end of the greeting: %v", err)
			}
		})
	}
}

// tries returns how often the store tried a call again.
func (r *room) tries() uint64 {
	var n uint64
	for _, count := range r.store.Stats().Retries {
		n += count
	}
	return n
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
	run, wait := together(t)
	defer wait()
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
		run(name, func(t *testing.T) {
			r := newRoom(t, server, t.Name())
			r.apply(create("k", "old"))
			r.proxy.Rule(func() faultproxy.Fault { return c.fault })
			_, before := r.proxy.Scripts()
			r.unanswered(put("k", "new"))
			r.proxy.Rule(nil)
			if c.applied {
				r.until("Redis has run it", func() bool {
					_, now := r.proxy.Scripts()
					return now > before
				})
			}
			want := contents{2, map[string]string{"filler": "x at 1, rank 0", "k": "old at 2, rank 0"}}
			if c.applied {
				want = contents{3, map[string]string{"filler": "x at 1, rank 0", "k": "new at 3, rank 0"}}
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
	r.unanswered(put("k", "late"))
	tries, _ := r.proxy.Scripts()
	r.proxy.Rule(nil)
	r.outcome(r.retry(put("k", "later")), store.Replaced)
	close(late)
	r.until("all tries came through", func() bool {
		_, now := r.proxy.Scripts()
		return now >= answered+tries-before+1
	})
	r.wantContents(contents{3, map[string]string{"filler": "x at 1, rank 0", "k": "later at 3, rank 0"}})
}

// retry applies as soon as the breaker lets it.
func (r *room) retry(w store.Write) store.Applied {
	r.Helper()
	var a store.Applied
	r.until("the store answers again", func() bool {
		var err error
		a, err = r.try(patience, w)
		return err == nil
	})
	return a
}

// The answer of a batch stays true. The first try of a write that changed nothing may
// arrive late, when it could change something.
func TestAWriteThatChangedNothingNeverDoesSoLater(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	run, wait := together(t)
	defer wait()
	for name, c := range map[string]struct {
		write     store.Write
		told      store.Outcome
		meanwhile store.Write
	}{
		"a conflict":            {create("filler", "late"), store.Conflict, remove("filler")},
		"an absent key":         {remove("k"), store.Absent, create("k", "v")},
		"a precondition failed": {store.Write{Op: store.Put, Key: "filler", IfNoneMatch: store.AnyVersion, Value: create("", "late").Value}, store.PreconditionFailed, remove("filler")},
	} {
		run(name, func(t *testing.T) {
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
