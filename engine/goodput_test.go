package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// distant is a store whose answers take the time away, and that answers nothing before
// until. As in redisstore, a try gets half of the time of its call.
type distant struct {
	*memstore.Store
	away  time.Duration
	until time.Time
}

func (d *distant) travel(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	takes := max(d.away, time.Until(d.until))
	if takes > left/2 {
		time.Sleep(left)
		return fmt.Errorf("%w: too far away", store.ErrFateUnknown)
	}
	time.Sleep(takes)
	return nil
}

func (d *distant) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	if err := d.travel(ctx); err != nil {
		return store.Applied{}, err
	}
	return d.Store.Apply(ctx, b)
}

func (d *distant) Fetch(ctx context.Context, keys []string, room store.Room, uses ...store.Use) (store.Fetched, error) {
	if err := d.travel(ctx); err != nil {
		return store.Fetched{}, err
	}
	return d.Store.Fetch(ctx, keys, room, uses...)
}

// offer makes rate calls a second, for some seconds. It counts the results of the calls
// of each second.
func offer(seconds, rate int, call func(key string) error) []map[error]int {
	went := make([]map[error]int, seconds)
	for i := range went {
		went[i] = make(map[error]int)
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	every := time.Second / time.Duration(rate)
	for i := range seconds * rate {
		running.Go(func() {
			err := call(fmt.Sprint("k", i))
			kind := err
			for _, known := range []error{engine.ErrTimeout, engine.ErrQueueFull, engine.ErrMayBeApplied, engine.ErrUnavailable} {
				if errors.Is(err, known) {
					kind = known
				}
			}
			mu.Lock()
			went[i/rate][kind]++
			mu.Unlock()
		})
		time.Sleep(every)
	}
	running.Wait()
	return went
}

// A batch has up to 128 keys: at 100 ms there and back the worker does 1,280
// writes a second, and three lanes three times as many fetches.
func TestUnderOverloadAcceptedRequestsAreAnsweredInTime(t *testing.T) {
	calls := map[string]func(e *engine.Engine, key string) error{
		"writes": func(e *engine.Engine, key string) error {
			_, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text("v")})
			return err
		},
		"reads": func(e *engine.Engine, key string) error {
			_, err := e.Get(context.Background(), key, engine.Read{})
			return err
		},
	}
	for name, call := range calls {
		for _, away := range []time.Duration{100, 250} {
			away *= time.Millisecond
			capacity := int(128 * time.Second / away)
			if name == "reads" {
				capacity *= 3
			}
			t.Run(fmt.Sprint(name, " of a store that is away ", away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := settings()
					s.MaxQueueJobs, s.MaxQueueBytes, s.Limits.MaxKeys = 100_000, 64<<20, 1_000_000
					e := engine.New(&distant{Store: memstore.New(), away: away}, s, engine.Options{})
					defer e.Close()
					went := offer(6, 2*capacity, func(key string) error { return call(e, key) })
					for i := 3; i < 6; i++ {
						if went[i][nil] < capacity*2/3 || went[i][engine.ErrMayBeApplied] > 0 {
							t.Errorf("second %d: %v, want most of %d answered", i, went[i], capacity)
						}
					}
				})
			})
		}
	}
}

func TestARaisedTimeoutRefusesNothingThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		e := engine.New(&distant{Store: memstore.New(), away: 20 * time.Millisecond}, s, engine.Options{})
		defer e.Close()
		first := createLater(e, "first", "v")
		second := createLater(e, "second", "v")
		s.Timeout = 5 * time.Second
		e.Configure(s)
		for _, a := range []<-chan answer{first, second} {
			if got := <-a; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

func TestAHotKeyOfAFailingStoreFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		st.set(func() {
			st.beforeFetch = func([]string) error {
				time.Sleep(time.Millisecond)
				return store.ErrUnavailable
			}
		})
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				for range 10 {
					begin := time.Now()
					_, err := e.Get(context.Background(), "hot", engine.Read{})
					if took := time.Since(begin); !errors.Is(err, engine.ErrUnavailable) || took > 5*time.Millisecond {
						t.Errorf("%v after %v", err, took)
					}
				}
			})
		}
		running.Wait()
	})
}

func TestAfterAPauseOfTheStoreAllWritesSucceedAgain(t *testing.T) {
	for _, rate := range []int{1000, 2000, 2400} {
		synctest.Test(t, func(t *testing.T) {
			s := settings()
			s.MaxQueueJobs, s.MaxQueueBytes, s.Limits.MaxKeys = 4096, 64<<20, 1_000_000
			st := &distant{Store: memstore.New(), away: 50 * time.Millisecond, until: time.Now().Add(2 * time.Second)}
			e := engine.New(st, s, engine.Options{})
			defer e.Close()
			went := offer(6, rate, func(key string) error {
				_, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text("v")})
				return err
			})
			for i := 3; i < 6; i++ {
				if went[i][nil] != rate {
					t.Errorf("%d a second, second %d after the pause: %v", rate, i-1, went[i])
				}
			}
		})
	}
}

func TestAFetchOfLargeValuesBringsSomeAndTheRestFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, many = 1 << 20, 40
		st := newScripted()
		s := settings()
		s.MaxQueueBytes, s.LocalTTL = 64<<20, 0
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		for i := range many {
			create(t, e, fmt.Sprint(i), string(make([]byte, size)))
		}
		hold := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-hold; return nil } })
		var running sync.WaitGroup
		for i := range many {
			running.Go(func() {
				if got := value(t, e, fmt.Sprint(i)); len(got) != size {
					t.Errorf("key %d: %d bytes", i, len(got))
				}
			})
		}
		synctest.Wait()
		close(hold)
		running.Wait()
		st.set(func() {
			for _, n := range st.brought {
				if n == 0 || n*size > store.MaxFetchBytes {
					t.Errorf("one fetch brought %d values of 1 MiB", n)
				}
			}
		})
		for _, r := range st.Order(-1) {
			if r.Score != 1 {
				t.Errorf("rank of %s is %v", r.Key, r.Score)
			}
		}
	})
}

func TestALateJoinerHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "k", "v")
		st.set(func() {
			st.beforeFetch = func([]string) error {
				st.set(func() { st.beforeFetch = nil })
				time.Sleep(400 * time.Millisecond)
				return store.ErrUnavailable
			}
		})
		first := make(chan error)
		go func() {
			_, err := e.Get(context.Background(), "k", engine.Read{})
			first <- err
		}()
		time.Sleep(200 * time.Millisecond)
		late := make(chan string)
		go func() {
			a, err := e.Get(context.Background(), "k", engine.Read{})
			late <- fmt.Sprint(read(a), " ", err)
		}()
		if err := <-first; !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("the first: %v", err)
		}
		if got := <-late; got != "v <nil>" {
			t.Errorf("the late one: %s", got)
		}
	})
}

func TestABatchOfUnknownFateLeavesTheLocalTier(t *testing.T) {
	st := newScripted()
	e := open(t, st, settings())
	create(t, e, "k", "old")
	value(t, e, "k")
	st.set(func() { st.afterApply = func(store.Batch) error { return store.ErrFateUnknown } })
	if _, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("new")}); !errors.Is(err, engine.ErrMayBeApplied) {
		t.Fatal(err)
	}
	if got := value(t, e, "k"); got != "new" {
		t.Errorf("the local tier still answers: %q", got)
	}
}

func TestAnEntryWithinItsLocalTTLAnswersWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newWatched()
		s := settings()
		s.StaleIfError = 2 * time.Second
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		go func() { o := <-st.observers; o.Subscribed(); o.Alive(time.Now()) }()
		create(t, e, "k", "v")
		value(t, e, "k")
		time.Sleep(5 * time.Second) // the subscription may be lost
		st.set(func() { st.beforeFetch = func([]string) error { return store.ErrUnavailable } })
		if a := get(t, e, "k"); !a.StaleIfError || read(a) != "v" {
			t.Errorf("%+v", a)
		}
	})
}

func TestAWriteThatIsRefusedInTheMomentOfItsTimeoutWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings()
		s.MaxQueueJobs = 1000
		st := &distant{Store: memstore.New()}
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		// The batch that sets the limits may go without a write, so let it be over.
		create(t, e, "first", "v")
		st.until = time.Now().Add(time.Hour)
		sent := createLater(e, "sent", "v")
		var waiting []<-chan answer
		for i := range 200 {
			waiting = append(waiting, createLater(e, fmt.Sprint(i), "v"))
		}
		if got := <-sent; !errors.Is(got.err, engine.ErrMayBeApplied) {
			t.Error(got.err)
		}
		for i, a := range waiting {
			if got := <-a; !errors.Is(got.err, engine.ErrTimeout) {
				t.Fatalf("write %d, which was never sent: %v", i, got.err)
			}
		}
	})
}

func TestManyKeysThatJoinedAFailedFetchAreFetchedAgainTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		var keys []string
		for i := range 10 {
			keys = append(keys, fmt.Sprint(i))
		}
		hold := make(chan struct{})
		st.set(func() {
			st.beforeFetch = func([]string) error {
				<-hold
				st.set(func() { st.beforeFetch = nil })
				return store.ErrUnavailable
			}
		})
		failed := make(chan error)
		all := func() error {
			_, err := e.GetMany(context.Background(), keys, engine.Read{}, store.AnyRoom)
			return err
		}
		go func() { failed <- all() }()
		synctest.Wait()
		late := make(chan error)
		go func() { late <- all() }()
		synctest.Wait()
		close(hold)
		if err := <-failed; !errors.Is(err, engine.ErrUnavailable) {
			t.Error(err)
		}
		if err := <-late; err != nil {
			t.Error(err)
		}
		if n := st.fetchCount(); n > 3 { // a failure halves the next fetches
			t.Errorf("%d fetches of 10 keys", n)
		}
	})
}
