package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestSecondReadIsLocalUntilItsTTLHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "hello", "world")

		if a := get(t, e, "hello"); a.Source != engine.Store || !a.Stored || a.WasStale {
			t.Fatalf("first read: %+v", a)
		}
		time.Sleep(29 * time.Second)
		if a := get(t, e, "hello"); a.Source != engine.Local || a.TTL != time.Second || read(a) != "world" {
			t.Fatalf("read within the TTL: %+v", a)
		}
		time.Sleep(time.Second)
		if a := get(t, e, "hello"); a.Source != engine.Store {
			t.Fatalf("read after the TTL: %+v", a)
		}
		if n := st.fetchCount(); n != 2 {
			t.Fatalf("%d fetches, want 2", n)
		}
	})
}

func TestLocalReadsDoNotRaiseTheRank(t *testing.T) {
	st := memstore.New()
	e := open(t, st, patient())
	create(t, e, "hello", "world")
	for range 5 {
		get(t, e, "hello")
	}
	if _, err := e.Get(context.Background(), "hello", engine.Read{NoCache: true}); err != nil {
		t.Fatal(err)
	}
	if got := st.Order(1)[0].Score; got != 2 {
		t.Fatalf("rank %v, want 2: one for the first read, one for the no-cache read", got)
	}
}

func TestWithoutLocalTTLEveryReadIsAFetch(t *testing.T) {
	st := memstore.New()
	s := patient()
	s.LocalTTL = 0
	e := open(t, st, s)
	create(t, e, "hello", "world")
	for range 3 {
		if a := get(t, e, "hello"); a.Source != engine.Store || a.Stored {
			t.Fatalf("%+v", a)
		}
	}
	if got := st.Order(1)[0].Score; got != 3 {
		t.Fatalf("rank %v, want 3", got)
	}
}

func TestConcurrentReadsOfOneKeyAreOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "hello", "world")
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })

		answers := make(chan string, 10)
		for range cap(answers) {
			go func() { answers <- value(t, e, "hello") }()
		}
		synctest.Wait()
		close(hold)
		for range cap(answers) {
			if got := <-answers; got != "world" {
				t.Errorf("got %q", got)
			}
		}
		if got := st.Order(1)[0].Score; st.fetchCount() != 1 || got != 1 {
			t.Fatalf("%d fetches, rank %v; want one fetch that counts once", st.fetchCount(), got)
		}
	})
}

func TestNoCacheReadDoesNotJoinAFetchThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "k", "old")
		// The first fetch reads the old value and is slow to return.
		hold := make(chan struct{})
		st.set(func() { st.afterFetch = func([]string) error { <-hold; return nil } })
		first := make(chan string)
		go func() { first <- value(t, e, "k") }()
		synctest.Wait()
		st.set(func() { st.afterFetch = nil })
		// Another process replaces it, and this engine gets no event.
		if _, err := st.Store.Apply(context.Background(), store.Batch{Writes: []store.Write{{Op: store.Put, Key: "k", Value: text("new")}}}); err != nil {
			t.Fatal(err)
		}
		a, err := e.Get(context.Background(), "k", engine.Read{NoCache: true})
		if err != nil || read(a) != "new" {
			t.Errorf("no-cache read: %q, %v", read(a), err)
		}
		close(hold)
		if got := <-first; got != "old" {
			t.Errorf("first read: %q", got)
		}
		// The result of the slow fetch must not replace the later one.
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("read afterwards: %q", got)
		}
	})
}

func TestLocalOnlyReadNeverAsksTheStore(t *testing.T) {
	st := newScripted()
	e := open(t, st, patient())
	create(t, e, "hello", "world")
	only := engine.Read{LocalOnly: true}
	if _, err := e.Get(context.Background(), "hello", only); !errors.Is(err, engine.ErrNotLocal) {
		t.Fatalf("got %v", err)
	}
	get(t, e, "hello")
	if a, err := e.Get(context.Background(), "hello", only); err != nil || read(a) != "world" {
		t.Fatalf("got %q, %v", read(a), err)
	}
	if n := st.fetchCount(); n != 1 {
		t.Fatalf("%d fetches", n)
	}
}

func TestAFailedFetchIsAnErrorUnlessAStaleEntryMayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.StaleIfError = time.Minute
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		create(t, e, "k", "v")
		get(t, e, "k")
		st.set(func() { st.beforeFetch = func([]string) error { return store.ErrUnavailable } })

		time.Sleep(42 * time.Second)
		if a := get(t, e, "k"); !a.StaleIfError || a.TTL != -12*time.Second || read(a) != "v" {
			t.Errorf("12 s after its TTL: %+v", a)
		}
		if _, err := e.Get(context.Background(), "k", engine.Read{NoCache: true}); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("a no-cache read was answered with %v", err)
		}
		time.Sleep(49 * time.Second)
		if _, err := e.Get(context.Background(), "k", engine.Read{}); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("a minute after its TTL: %v", err)
		}
		// The store is back, and says that the key is gone.
		st.set(func() { st.beforeFetch = nil })
		remove(t, e, "k")
		if got := value(t, e, "k"); got != "absent" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAHungStoreIsAnsweredForWithinTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })
		begin := time.Now()
		for range 4 {
			// The first three hold the lanes, so the fourth is never sent.
			go e.Get(context.Background(), "other", engine.Read{NoCache: true})
			synctest.Wait()
		}
		_, err := e.Get(context.Background(), "k", engine.Read{})
		if took := time.Since(begin); !errors.Is(err, engine.ErrTimeout) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		synctest.Wait()
		close(hold)
		e.Close()
		if n := st.fetchCount(); n != 3 {
			t.Errorf("%d fetches: one that nobody waited for was sent", n)
		}
	})
}

// The call that sends a fetch stays until it is answered. All others are answered at once.
func TestAReaderThatLeavesIsAnsweredAtOnceUnlessItSendsTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })
		ctx, cancel := context.WithCancel(context.Background())
		read := func() chan error {
			failed := make(chan error, 1)
			go func() {
				_, err := e.Get(ctx, "k", engine.Read{})
				failed <- err
			}()
			synctest.Wait()
			return failed
		}
		sends, joins := read(), read()
		cancel()
		if err := <-joins; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		select {
		case err := <-sends:
			t.Errorf("the call that sends was answered before the store answered: %v", err)
		default:
		}
		close(hold)
		if err := <-sends; err != nil {
			t.Errorf("got %v", err)
		}
		e.Close()
	})
}

// silentOnce does not answer the first fetch.
type silentOnce struct {
	*scripted
	asked atomic.Bool
}

func (s *silentOnce) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	if !s.asked.Swap(true) {
		<-ctx.Done()
		return store.Fetched{}, store.ErrUnavailable
	}
	return s.scripted.Fetch(ctx, keys, room, uses...)
}

// It stays no longer than its own time, even if a call with more time has joined.
func TestACallThatSendsTheFetchOfOthersIsAnsweredInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		s.Timeout = time.Second
		e := engine.New(&silentOnce{scripted: newScripted()}, s, engine.Options{})
		defer e.Close()
		begun := time.Now()
		first := make(chan time.Duration)
		go func() {
			_, err := e.Get(context.Background(), "k", engine.Read{})
			if err == nil {
				t.Error("no error")
			}
			first <- time.Since(begun)
		}()
		synctest.Wait()
		s.Timeout = time.Minute
		e.Configure(s)
		second := make(chan error)
		go func() {
			_, err := e.Get(context.Background(), "k", engine.Read{})
			second <- err
		}()
		synctest.Wait()
		if took := <-first; took != time.Second {
			t.Errorf("answered after %v", took)
		}
		if err := <-second; err != nil {
			t.Errorf("the call with more time: %v", err)
		}
	})
}

func TestAKeyWhoseReaderLeftBeforeItWasSentIsReadForTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "k", "v")
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })
		for _, key := range []string{"one", "two", "three"} { // they hold the lanes
			go e.Get(context.Background(), key, engine.Read{})
			synctest.Wait()
		}
		ctx, leave := context.WithCancel(context.Background())
		left := make(chan error)
		go func() {
			_, err := e.Get(ctx, "k", engine.Read{})
			left <- err
		}()
		synctest.Wait()
		leave()
		<-left
		close(hold)
		synctest.Wait()
		if n := st.fetchCount(); n != 3 {
			t.Errorf("%d fetches: one that nobody waited for was sent", n)
		}
		if got := value(t, e, "k"); got != "v" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPrepareRunsOnceForEachFetchedEntry(t *testing.T) {
	calls := 0
	e := engine.New(memstore.New(), patient(), engine.Options{
		Prepare: func(key string, en *store.Entry) (any, int) {
			calls++
			return key + "=" + string(en.Data), 10
		},
	})
	defer e.Close()
	create(t, e, "hello", "world")
	for range 3 {
		if a := get(t, e, "hello"); a.Entry.Prepared != "hello=world" {
			t.Fatalf("prepared %v", a.Entry.Prepared)
		}
	}
	if calls != 1 {
		t.Fatalf("%d calls", calls)
	}
}

func TestAnEntryLargerThanTheLocalTierIsNotKept(t *testing.T) {
	s := patient()
	s.LocalMaxBytes = 1000
	s.MaxQueueBytes = 1 << 20
	e := open(t, memstore.New(), s)
	create(t, e, "big", string(make([]byte, 2000)))
	for range 2 {
		if a := get(t, e, "big"); a.Source != engine.Store || a.Stored {
			t.Fatalf("%+v", a)
		}
	}
}

func BenchmarkGetLocal(b *testing.B) {
	e := engine.New(memstore.New(), settings(), engine.Options{})
	defer e.Close()
	ctx := context.Background()
	if _, err := e.Write(ctx, store.Write{Op: store.Create, Key: "hello", Value: text("world")}); err != nil {
		b.Fatal(err)
	}
	if _, err := e.Get(ctx, "hello", engine.Read{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a, err := e.Get(ctx, "hello", engine.Read{}); err != nil || a.Source != engine.Local {
				b.Fatal("not a local hit")
			}
		}
	})
}
