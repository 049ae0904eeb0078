package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// lend creates an entry that expires.
func lend(t *testing.T, e *engine.Engine, key, v string, ttl time.Duration) {
	t.Helper()
	want(t, store.Created)(e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text(v), TTL: ttl}))
}

func values(t *testing.T, e *engine.Engine, keys ...string) []string {
	t.Helper()
	answers, err := e.GetMany(context.Background(), keys, engine.Read{}, store.AnyRoom)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range answers {
		all = append(all, read(a))
	}
	return all
}

func TestALocalCopyEndsWithItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		lend(t, e, "k", "v", 10*time.Second)
		create(t, e, "stays", "v")
		if got := values(t, e, "k", "stays"); got[0] != "v" {
			t.Fatalf("%q", got)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		if a := get(t, e, "k"); a.Source != engine.Local || a.TTL != time.Millisecond || a.Life != time.Millisecond {
			t.Errorf("just before its time: %+v", a)
		}
		fetches := st.fetchCount()
		time.Sleep(time.Millisecond)
		if got := value(t, e, "k"); got != "absent" {
			t.Errorf("after its time: %q", got)
		}
		if got := values(t, e, "k", "stays"); got[0] != "absent" || got[1] != "v" {
			t.Errorf("after its time: %q", got)
		}
		if fresh(t, e, "k") != "absent" || st.fetchCount() == fetches {
			t.Error("the store was not asked")
		}
		if a := get(t, e, "stays"); a.Source != engine.Local || a.Life != 0 {
			t.Errorf("the other one: %+v", a)
		}
	})
}

func TestALongLifeIsFetchedAgainWhenTheLocalCopyIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		lend(t, e, "k", "v", time.Hour)
		for i := range 3 {
			before := st.fetchCount()
			want := time.Hour - time.Duration(i)*30*time.Second
			if a := get(t, e, "k"); a.Source == engine.Local || a.Life != want {
				t.Errorf("turn %d: %+v, want a life of %v", i, a, want)
			}
			if a := get(t, e, "k"); a.Source != engine.Local || a.TTL != 30*time.Second || a.Life != want {
				t.Errorf("turn %d: %+v", i, a)
			}
			if n := st.fetchCount() - before; n != 1 {
				t.Errorf("turn %d: %d fetches", i, n)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

func TestStaleIfErrorEndsWithTheEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.LocalTTL, s.StaleIfError = 2*time.Second, time.Hour
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		lend(t, e, "k", "v", 10*time.Second)
		create(t, e, "stays", "v")
		values(t, e, "k", "stays")
		st.set(func() {
			st.beforeFetch = func([]string) error { return store.ErrUnavailable }
			st.beforeApply = func(store.Batch) error { return store.ErrUnavailable }
		})
		time.Sleep(10*time.Second - time.Millisecond)
		if a := get(t, e, "k"); !a.StaleIfError || a.Life != time.Millisecond {
			t.Errorf("just before its time: %+v", a)
		}
		if got := values(t, e, "k", "stays"); got[0] != "v" || got[1] != "v" {
			t.Errorf("just before its time: %q", got)
		}
		time.Sleep(time.Millisecond)
		if a, err := e.Get(t.Context(), "k", engine.Read{}); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("after its time: %+v, %v", a, err)
		}
		if a, err := e.GetMany(t.Context(), []string{"stays", "k"}, engine.Read{}, store.AnyRoom); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("after its time: %+v, %v", a, err)
		}
		if value(t, e, "stays") != "v" {
			t.Error("the other one is not answered")
		}
	})
}

func TestAnAnswerOnItsWayForLongerThanTheLifeBringsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.Timeout = time.Minute
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		for _, key := range []string{"a", "b", "in time"} {
			lend(t, e, key, "v", time.Second)
		}
		slow := time.Second
		st.set(func() { st.afterFetch = func([]string) error { time.Sleep(slow); return nil } })
		var calling sync.WaitGroup
		for range 3 { // they share a flight
			calling.Go(func() {
				if a := get(t, e, "a"); a.Entry != nil || a.Stored {
					t.Errorf("%+v", a)
				}
			})
		}
		calling.Go(func() {
			if got := values(t, e, "b", "a"); got[0] != "absent" || got[1] != "absent" {
				t.Errorf("%q", got)
			}
		})
		calling.Wait()
		st.set(func() { st.afterFetch = nil })
		if got := value(t, e, "a"); got != "absent" {
			t.Errorf("the local tier has %q", got)
		}
		slow = time.Second - time.Millisecond
		lend(t, e, "late", "v", time.Second)
		st.set(func() { st.afterFetch = func([]string) error { time.Sleep(slow); return nil } })
		if a := get(t, e, "late"); a.Entry == nil || a.Life != time.Millisecond {
			t.Errorf("one that just came in time: %+v", a)
		}
	})
}

func TestLocalHitsOfEntriesThatExpireAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, rankingLocalHits(), engine.Options{})
		defer e.Close()
		lend(t, e, "k", "v", 10*time.Second)
		create(t, e, "other", "v")
		for range 4 {
			get(t, e, "k")
		}
		time.Sleep(time.Second)
		get(t, e, "other")
		if told := fmt.Sprint(st.told()); told != "map[k:3]" {
			t.Errorf("told %s", told)
		}
		get(t, e, "k")
		time.Sleep(10 * time.Second) // now the store is told of an entry that has expired
		get(t, e, "other")
		if value(t, e, "k") != "absent" {
			t.Error("it is answered")
		}
		if rows := st.Order(-1); len(rows) != 1 || rows[0].Key != "other" {
			t.Errorf("%+v", rows)
		}
	})
}

// chores are the times of batches without writes.
type chores struct {
	mu    sync.Mutex
	times []time.Time
}

func (c *chores) list() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.times)
}

// noteChores begins to note when batches without writes come.
func (s *scripted) noteChores() *chores {
	c := new(chores)
	s.set(func() {
		s.beforeApply = func(b store.Batch) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(b.Writes) == 0 {
				c.times = append(c.times, time.Now())
			}
			return nil
		}
	})
	return c
}

// fillLent creates n entries that expire ttl later.
func fillLent(t *testing.T, st *scripted, n int, ttl time.Duration) {
	t.Helper()
	limits := store.Limits{MaxKeys: 100_000, Eviction: "rank"}
	for first := 0; first < n; first += 1000 {
		var writes []store.Write
		for i := range min(1000, n-first) {
			writes = append(writes, store.Write{Op: store.Create, Key: fmt.Sprint("e", first+i), Value: text("v"), TTL: ttl})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := st.Store.Apply(ctx, store.Batch{Limits: limits, Writes: writes}); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

func TestWhatHasExpiredIsRemovedWithoutAnyRequestInStepsWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.Limits.MaxKeys = 100_000
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		fillLent(t, st, 5000, time.Minute)
		create(t, e, "stays", "v")
		time.Sleep(time.Minute - time.Second)
		values(t, e, "e1", "e2")
		chores := st.noteChores()
		begin := time.Now()
		time.Sleep(3 * time.Second)
		if rows := st.Order(-1); len(rows) != 1 || e.Stats().Expired != 5000 {
			t.Errorf("%d entries are left, %d removed", len(rows), e.Stats().Expired)
		}
		if n := e.Stats().Local.Entries; n != 0 {
			t.Errorf("%d copies are left in the local tier", n)
		}
		const steps = 5000 / store.TrimStep
		if n := len(chores.list()); n < steps || n > steps+6 {
			t.Errorf("%d batches, want about %d", n, steps)
		}
		last := begin.Add(-time.Minute)
		for _, at := range chores.list() {
			if pause := at.Sub(last); pause < 5*time.Millisecond {
				t.Errorf("a pause of %v", pause)
			}
			last = at
		}
		before := len(chores.list())
		time.Sleep(time.Hour)
		if n := len(chores.list()) - before; n > 1 {
			t.Errorf("%d batches in an hour in which nothing expires", n)
		}
	})
}

func TestWritesDoNotWaitForTheRemovalOfWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.Limits.MaxKeys = 100_000
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		fillLent(t, st, 20_000, time.Minute)
		create(t, e, "first", "v")
		time.Sleep(time.Minute)
		for i := range 20 { // 10 s without writes would remove all
			begin := time.Now()
			create(t, e, fmt.Sprint(i), "v")
			if took := time.Since(begin); took > 0 {
				t.Errorf("write %d took %v", i, took)
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(st.Order(-1)); n < 5000 {
			t.Errorf("only %d entries were left: nothing to wait for", n)
		}
	})
}

func TestCloseEndsTheRemovalOfWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.Limits.MaxKeys = 100_000
		e := engine.New(st, s, engine.Options{})
		fillLent(t, st, 20_000, time.Minute)
		create(t, e, "first", "v")
		time.Sleep(time.Minute + 2*time.Second/10)
		chores := st.noteChores()
		begin := time.Now()
		if err := e.Close(); err != nil || time.Since(begin) > 0 {
			t.Errorf("closing: %v, in %v", err, time.Since(begin))
		}
		time.Sleep(time.Minute)
		if len(chores.list()) > 0 {
			t.Errorf("%d batches after that", len(chores.list()))
		}
	})
}
