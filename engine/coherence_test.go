package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// change writes to the store, as another process does. The returned function
// delivers the event of the write.
func change(t *testing.T, st *watched, o store.Observer, w store.Write) (deliver func()) {
	t.Helper()
	a, err := st.Store.Apply(context.Background(), store.Batch{Writes: []store.Write{w}})
	if err != nil {
		t.Fatal(err)
	}
	what := map[store.Outcome]string{store.Created: "created", store.Replaced: "replaced", store.Deleted: "deleted"}[a.Results[0].Outcome]
	id, previous := store.Version{Number: a.Number, Tag: 1}, st.lastEvent
	st.lastEvent = id
	return func() {
		o.Changed(store.Event{ID: id, Previous: previous, Changes: []store.Change{{What: what, Key: w.Key, Number: a.Number}}})
	}
}

// subscribed runs test with an engine whose subscription stands.
func subscribed(t *testing.T, test func(t *testing.T, e *engine.Engine, st *watched, o store.Observer)) {
	synctest.Test(t, func(t *testing.T) {
		st := newWatched()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		// The first fetch waits for the first subscription.
		first := make(chan engine.Answer)
		go func() { first <- get(t, e, "warm-up") }()
		o := <-st.observers
		synctest.Wait()
		if n := st.fetchCount(); n != 0 {
			t.Errorf("%d fetches before the first try to subscribe", n)
		}
		o.Subscribed()
		o.Alive(time.Now())
		<-first
		test(t, e, st, o)
	})
}

func TestAnEventDropsTheOlderLocalEntry(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "old")
		value(t, e, "k")
		deliver := change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")})
		if got := value(t, e, "k"); got != "old" {
			t.Fatalf("before the event: %q", got)
		}
		deliver()
		if got := value(t, e, "k"); got != "new" {
			t.Fatalf("after the event: %q", got)
		}
	})
}

func TestALateEventDoesNotDropWhatWasFetchedAfterItsWrite(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		deliver := change(t, st, o, store.Write{Op: store.Create, Key: "k", Value: text("v")})
		value(t, e, "k")
		deliver()
		if a := get(t, e, "k"); a.Source != engine.Local {
			t.Fatalf("the event of a write that was fetched already dropped the entry: %+v", a)
		}
	})
}

func TestALateEventOfARemovalDoesNotDropTheEntryCreatedAfterIt(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "first")
		removed := change(t, st, o, store.Write{Op: store.Delete, Key: "k"})
		created := change(t, st, o, store.Write{Op: store.Create, Key: "k", Value: text("second")})
		e.Get(context.Background(), "k", engine.Read{NoCache: true})
		removed()
		created()
		if a := get(t, e, "k"); a.Source != engine.Local || read(a) != "second" {
			t.Fatalf("%q from %d", read(a), a.Source)
		}
	})
}

func TestAFetchOnItsWayNeverLeavesAnOlderValue(t *testing.T) {
	for name, finish := range map[string]func(t *testing.T, e *engine.Engine, st *watched, o store.Observer){
		"than an event told of": func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
			change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")})()
		},
		"than this process wrote": func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
			put(t, e, "k", "new")
		},
		"than a new subscription": func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
			change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")})
			o.Lost(context.DeadlineExceeded)
			o.Subscribed()
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
				create(t, e, "k", "old")
				hold := make(chan struct{})
				st.set(func() { st.afterFetch = func([]string) error { <-hold; return nil } })
				before := make(chan string)
				go func() { before <- value(t, e, "k") }()
				synctest.Wait()
				st.set(func() { st.afterFetch = nil })

				finish(t, e, st, o)
				// A read that begins now must not be content with that fetch.
				after := make(chan string)
				go func() { after <- value(t, e, "k") }()
				synctest.Wait()
				close(hold)
				if got := <-before; got != "old" {
					t.Errorf("the read that began before: %q", got)
				}
				if got := <-after; got != "new" {
					t.Errorf("the read that began after: %q", got)
				}
				if got := value(t, e, "k"); got != "new" {
					t.Errorf("the next read: %q", got)
				}
			})
		})
	}
}

func TestOwnWritesDropTheLocalEntryBeforeTheyAreAcknowledged(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "1")
		value(t, e, "k")
		put(t, e, "k", "2")
		if got := value(t, e, "k"); got != "2" {
			t.Fatalf("after PUT: %q", got)
		}
		remove(t, e, "k")
		if got := value(t, e, "k"); got != "absent" {
			t.Fatalf("after DELETE: %q", got)
		}
	})
}

func TestAnEvictedKeyLeavesTheLocalTierToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		s.Limits.MaxKeys = 1
		e := engine.New(newScripted(), s, engine.Options{})
		defer e.Close()
		create(t, e, "first", "v")
		value(t, e, "first")
		create(t, e, "second", "v")
		if got := value(t, e, "first"); got != "absent" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestWithoutASubscriptionEntriesAreKeptForASecondOnly(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "v")
		value(t, e, "k")
		// The last proof of life is more than a second old.
		time.Sleep(time.Second + time.Millisecond)
		if a := get(t, e, "k"); a.Source != engine.Store {
			t.Fatalf("an entry of one second, without proof of the subscription: %+v", a)
		}
		time.Sleep(time.Second - time.Millisecond)
		if a := get(t, e, "k"); a.Source != engine.Local || a.TTL != time.Millisecond {
			t.Fatalf("within the second: %+v", a)
		}
		// Proof comes late: the connection stood all the time.
		o.Alive(time.Now())
		time.Sleep(500 * time.Millisecond)
		if a := get(t, e, "k"); a.Source != engine.Local {
			t.Fatalf("with proof again: %+v", a)
		}
	})
}

func TestANewSubscriptionDropsEverything(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "old")
		value(t, e, "k")
		o.Lost(context.DeadlineExceeded)
		change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")}) // its event is lost
		o.Subscribed()
		o.Alive(time.Now())
		if got := value(t, e, "k"); got != "new" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestAWriteNumberThatGoesBackwardsDropsEverything(t *testing.T) {
	for name, learn := range map[string]func(t *testing.T, e *engine.Engine, o store.Observer){
		"in an event": func(t *testing.T, e *engine.Engine, o store.Observer) {
			o.Changed(store.Event{ID: store.Version{Number: 7}, Changes: []store.Change{{What: "created", Key: "x", Number: 7}}})
			o.Changed(store.Event{ID: store.Version{Number: 1}, Changes: []store.Change{{What: "created", Key: "y", Number: 1}}})
		},
		"in the answer to a fetch": func(t *testing.T, e *engine.Engine, o store.Observer) {
			o.Changed(store.Event{ID: store.Version{Number: 1 << 40}, Changes: []store.Change{{What: "created", Key: "x", Number: 1 << 40}}})
			value(t, e, "other")
		},
		"in the answer to a write": func(t *testing.T, e *engine.Engine, o store.Observer) {
			o.Changed(store.Event{ID: store.Version{Number: 1 << 40}, Changes: []store.Change{{What: "created", Key: "x", Number: 1 << 40}}})
			create(t, e, "other", "v")
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
				create(t, e, "k", "v")
				value(t, e, "k")
				learn(t, e, o)
				if a := get(t, e, "k"); a.Source != engine.Store {
					t.Fatalf("%+v", a)
				}
			})
		})
	}
}

func TestAStoreThatWasEmptiedIsNoticedThoughItsNumbersAreHigh(t *testing.T) {
	for name, learn := range map[string]func(t *testing.T, e *engine.Engine, st *watched, o store.Observer){
		"by an event": func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
			o.Changed(store.Event{ID: store.Version{Number: 1 << 40}, Epoch: "second", Changes: []store.Change{{What: "created", Key: "x", Number: 1 << 40}}})
		},
		"by an answer": func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
			st.set(func() { st.epoch = "second" })
			value(t, e, "other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
				create(t, e, "k", "v")
				value(t, e, "k")
				if a := get(t, e, "k"); a.Source != engine.Local {
					t.Fatalf("%+v", a)
				}
				learn(t, e, st, o)
				if a := get(t, e, "k"); a.Source != engine.Store || !a.Stored {
					t.Fatalf("%+v", a)
				}
			})
		})
	}
}
