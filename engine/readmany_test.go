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

func TestOneCallForManyKeysIsOneFetch(t *testing.T) {
	for _, many := range []int{2, 40, 100} {
		st := newScripted()
		e := open(t, st, patient())
		for _, call := range []string{"first", "second"} {
			var keys []string
			for i := range many {
				keys = append(keys, fmt.Sprint(call, i))
			}
			st.set(func() { st.fetches = nil })
			if _, err := e.GetMany(context.Background(), keys, engine.Read{}, store.AnyRoom); err != nil {
				t.Fatal(err)
			}
			if n := st.fetchCount(); n != 1 {
				t.Errorf("%d fetches for the %s %d keys", n, call, many)
			}
		}
	}
}

// TestHalfOfManyRequestsGoIntoTheNextCall has reads and writes. The store should work
// while the answers of a call go out.
func TestHalfOfManyRequestsGoIntoTheNextCall(t *testing.T) {
	const many = 60
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "first", "1")
		hold := make(chan struct{})
		st.set(func() {
			st.beforeFetch = func([]string) error { <-hold; return nil }
			st.beforeApply = func(store.Batch) error { <-hold; return nil }
		})
		var running sync.WaitGroup
		for i := range many {
			key := fmt.Sprint(i)
			running.Go(func() { value(t, e, key) })
			running.Go(func() { create(t, e, key+"+", "1") })
			synctest.Wait()
		}
		st.set(func() { st.fetches, st.batches = nil, nil })
		close(hold)
		running.Wait()
		st.set(func() {
			var writes, reads []int
			for _, b := range st.batches {
				writes = append(writes, len(b.Writes))
			}
			for _, keys := range st.fetches {
				reads = append(reads, len(keys))
			}
			// The second half finds as many answered as it has writes.
			if want := []int{30, 29}; !slices.Equal(writes, want) {
				t.Errorf("batches of %d writes, want %d", writes, want)
			}
			// Three of the reads were on their way. The other half of the rest goes together if
			// the lane of the first half is back by then, and otherwise in two parts.
			if largest := slices.Max(reads); largest != 29 {
				t.Errorf("fetches of %d keys, want at most 29 in one", reads)
			}
		})
	})
}

func TestReadsThatArriveWhileTheLanesAreBusyLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })
		done := make(chan struct{})
		keys := []string{"a", "b", "c", "d", "e", "f"}
		for _, key := range keys {
			go func() { value(t, e, key); done <- struct{}{} }()
			synctest.Wait()
		}
		close(hold)
		for range keys {
			<-done
		}
		st.set(func() {
			if n := len(st.fetches); n != 4 || len(st.fetches[0]) != 1 || len(st.fetches[3]) != 3 {
				t.Errorf("fetches %v: want the first three alone and at once, the rest as one batch", st.fetches)
			}
		})
	})
}

func TestManyKeysAreReadWithOneFetchOfWhatIsNotLocal(t *testing.T) {
	st := newScripted()
	e := open(t, st, patient())
	for _, key := range []string{"a", "b", "c"} {
		create(t, e, key, "v"+key)
	}
	get(t, e, "b")
	answers, err := e.GetMany(context.Background(), []string{"c", "b", "none", "a", "c"}, engine.Read{}, store.AnyRoom)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"vc", "vb", "absent", "va", "vc"} {
		if got := read(answers[i]); got != want {
			t.Errorf("answer %d: %q, want %q", i, got, want)
		}
	}
	if answers[1].Source != engine.Local || answers[0].Source != engine.Store {
		t.Errorf("sources %+v", answers)
	}
	if n := st.fetchCount(); n != 2 {
		t.Errorf("%d fetches, want one for b and one for the rest", n)
	}
	for _, r := range st.Order(-1) {
		if r.Score != 1 {
			t.Errorf("rank of %s is %v", r.Key, r.Score)
		}
	}
	if _, err := e.GetMany(context.Background(), []string{"a", "none"}, engine.Read{LocalOnly: true}, store.AnyRoom); !errors.Is(err, engine.ErrNotLocal) {
		t.Errorf("got %v", err)
	}
}

func TestManyKeysFailTogetherUnlessStaleEntriesMayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.StaleIfError = time.Hour
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		create(t, e, "a", "va")
		get(t, e, "a")
		time.Sleep(time.Minute)
		st.set(func() { st.beforeFetch = func([]string) error { return store.ErrUnavailable } })
		answers, err := e.GetMany(context.Background(), []string{"a", "a"}, engine.Read{}, store.AnyRoom)
		if err != nil || read(answers[0]) != "va" || !answers[1].StaleIfError {
			t.Errorf("%+v, %v", answers, err)
		}
		if _, err := e.GetMany(context.Background(), []string{"a", "b"}, engine.Read{}, store.AnyRoom); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}
