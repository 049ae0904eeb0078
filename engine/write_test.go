package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// held runs test with an engine whose worker is busy with a first write until
// release is called.
func held(t *testing.T, s engine.Settings, test func(t *testing.T, e *engine.Engine, st *scripted, release func())) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, s, engine.Options{})
		hold := make(chan struct{})
		st.set(func() {
			st.beforeApply = func(b store.Batch) error {
				if len(b.Writes) > 0 {
					<-hold
				}
				return nil
			}
		})
		go e.Write(context.Background(), store.Write{Op: store.Create, Key: "first", Value: text("v")})
		synctest.Wait()
		test(t, e, st, func() { close(hold) })
		e.Close()
	})
}

// answer is the result of a write in a goroutine of its own.
type answer struct {
	result store.Result
	err    error
}

func createLater(e *engine.Engine, key, v string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		r, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text(v)})
		c <- answer{r, err}
	}()
	synctest.Wait()
	return c
}

func TestWritesThatWaitAreAppliedInArrivalOrderAsOneBatch(t *testing.T) {
	held(t, settings(), func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		var answers []<-chan answer
		for i := range 10 {
			answers = append(answers, createLater(e, "same", fmt.Sprint(i)))
		}
		release()
		for i, a := range answers {
			got := <-a
			if want := map[bool]store.Outcome{true: store.Created, false: store.Conflict}[i == 0]; got.err != nil || got.result.Outcome != want {
				t.Errorf("write %d: %+v", i, got)
			}
		}
		if got := value(t, e, "same"); got != "0" {
			t.Errorf("the first to arrive was %q", got)
		}
		if got := st.batchSizes(); !slices.Equal(got, []int{1, 10}) {
			t.Errorf("batches of %v", got)
		}
	})
}

func TestABatchIsBoundedInBytes(t *testing.T) {
	s := settings()
	s.MaxQueueBytes = 64 << 20
	held(t, s, func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		big := string(make([]byte, 700<<10))
		answers := []<-chan answer{createLater(e, "a", big), createLater(e, "b", big), createLater(e, "c", "small")}
		release()
		for _, a := range answers {
			if got := <-a; got.err != nil {
				t.Error(got.err)
			}
		}
		if got := st.batchSizes(); !slices.Equal(got, []int{1, 1, 2}) {
			t.Errorf("batches of %v", got)
		}
	})
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	t.Run("in jobs", func(t *testing.T) {
		s := settings()
		s.MaxQueueJobs = 2
		held(t, s, func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
			second := createLater(e, "second", "v")
			if got := <-createLater(e, "third", "v"); !errors.Is(got.err, engine.ErrQueueFull) {
				t.Errorf("got %+v", got)
			}
			release()
			if got := <-second; got.err != nil {
				t.Error(got.err)
			}
			create(t, e, "fourth", "v")
		})
	})
	t.Run("in bytes", func(t *testing.T) {
		s := settings()
		s.MaxQueueBytes = 100
		held(t, s, func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
			second := createLater(e, "second", string(make([]byte, 80)))
			if got := <-createLater(e, "third", string(make([]byte, 80))); !errors.Is(got.err, engine.ErrQueueFull) {
				t.Errorf("got %+v", got)
			}
			release()
			if got := <-second; got.err != nil {
				t.Error(got.err)
			}
			create(t, e, "third", string(make([]byte, 80)))
		})
	})
}

func TestTheMemoryOfConditionsAndContentTypesCountsAgainstTheQueue(t *testing.T) {
	s := settings()
	s.MaxQueueBytes = 100
	versions := store.NewVersionSet(strings.Repeat("1", 70))
	long := store.Value{Kind: store.Raw, ContentType: "text/" + strings.Repeat("x", 70)}
	held(t, s, func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		refused := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, engine.ErrQueueFull) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		second := createLater(e, "second", string(make([]byte, 30)))
		_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text(""), IfMatch: versions})
		refused("If-Match", err)
		_, err = e.Write(context.Background(), store.Write{Op: store.Delete, Key: "k", IfNoneMatch: versions})
		refused("If-None-Match", err)
		_, err = e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: long})
		refused("a content type", err)
		release()
		if got := <-second; got.err != nil {
			t.Error(got.err)
		}
		if s := e.Stats(); s.QueueBytes != 0 {
			t.Errorf("%d bytes wait", s.QueueBytes)
		}
		// An empty queue takes even the largest key and value, with all their conditions.
		long.Data = make([]byte, 99)
		if r, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: long, IfNoneMatch: versions}); err != nil || r.Outcome != store.Created {
			t.Errorf("%+v, %v", r, err)
		}
		if s := e.Stats(); s.QueueBytes != 0 {
			t.Errorf("%d bytes wait", s.QueueBytes)
		}
	})
}

func TestAWriteWhoseTimeIsUpBeforeItsTurnIsNotApplied(t *testing.T) {
	held(t, settings(), func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		begin := time.Now()
		got := <-createLater(e, "late", "v")
		if took := time.Since(begin); !errors.Is(got.err, engine.ErrTimeout) || took != time.Second {
			t.Errorf("%v after %v", got.err, took)
		}
		release()
		if got := value(t, e, "late"); got != "absent" {
			t.Errorf("it was applied: %q", got)
		}
	})
}

func TestAWriteWhoseClientLeftBeforeItsTurnIsNotApplied(t *testing.T) {
	held(t, settings(), func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error)
		go func() {
			_, err := e.Write(ctx, store.Write{Op: store.Create, Key: "gone", Value: text("v")})
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		release()
		if got := value(t, e, "gone"); got != "absent" {
			t.Errorf("it was applied: %q", got)
		}
	})
}

func TestAWriteWithoutAnAnswerMayBeAppliedAndLeavesTheLocalTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		create(t, e, "k", "old")
		value(t, e, "k")
		sent, hold := make(chan struct{}), make(chan struct{})
		st.set(func() { st.afterApply = func(store.Batch) error { <-sent; return nil } })
		go e.Write(context.Background(), store.Write{Op: store.Put, Key: "other", Value: text("v")}) // sends its own batch
		synctest.Wait()
		begin := time.Now()
		answered := make(chan error)
		go func() {
			_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("new")})
			answered <- err
		}()
		synctest.Wait()
		st.set(func() { st.afterApply = func(store.Batch) error { <-hold; return nil } })
		close(sent)
		err := <-answered
		if took := time.Since(begin); !errors.Is(err, engine.ErrMayBeApplied) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("the local tier still answers: %q", got)
		}
		close(hold)
		e.Close()
	})
}

func TestTheStoresErrorsBecomeTheEngines(t *testing.T) {
	for from, to := range map[error]error{
		store.ErrUnavailable: engine.ErrUnavailable,
		store.ErrFateUnknown: engine.ErrMayBeApplied,
		store.ErrClosed:      engine.ErrClosed,
	} {
		st := newScripted()
		e := open(t, st, patient())
		st.beforeApply = func(store.Batch) error { return from }
		if _, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: text("v")}); !errors.Is(err, to) {
			t.Errorf("%v became %v, want %v", from, err, to)
		}
	}
}

func TestCloseAppliesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		hold := make(chan struct{})
		st.set(func() { st.beforeApply = func(store.Batch) error { <-hold; return nil } })
		var answers []<-chan answer
		for i := range 20 {
			answers = append(answers, createLater(e, fmt.Sprint(i), "v"))
		}
		closed := make(chan error)
		go func() { closed <- e.Close() }()
		synctest.Wait()
		if _, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "late", Value: text("v")}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		close(hold)
		for i, a := range answers {
			if got := <-a; got.err != nil || got.result.Outcome != store.Created {
				t.Errorf("write %d: %+v", i, got)
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if _, err := e.Get(context.Background(), "x", engine.Read{}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("a read after Close: %v", err)
		}
	})
}

func TestCloseEndsByTheDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		s := settings()
		s.DrainTimeout = 100 * time.Millisecond
		e := engine.New(st, s, engine.Options{})
		create(t, e, "first", "v") // the limits are sent with it
		hold := make(chan struct{})
		st.set(func() {
			st.beforeApply = func(store.Batch) error {
				select {
				case <-hold:
				case <-time.After(150 * time.Millisecond):
				}
				return store.ErrFateUnknown
			}
		})
		taken := createLater(e, "taken", "v")
		waiting := createLater(e, "waiting", "v")
		begin := time.Now()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("Close took %v", took)
		}
		if got := <-taken; !errors.Is(got.err, engine.ErrMayBeApplied) {
			t.Errorf("the write on its way: %+v", got)
		}
		if got := <-waiting; !errors.Is(got.err, engine.ErrClosed) {
			t.Errorf("the write that waited: %+v", got)
		}
	})
}

func TestAnEngineThatWasNeverUsedLeavesTheStoreAlone(t *testing.T) {
	st := newScripted()
	e := engine.New(st, patient(), engine.Options{})
	s := patient()
	s.Limits.MaxKeys = 5
	e.Configure(s)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(st.batches)+len(st.fetches) != 0 {
		t.Fatalf("batches %v, fetches %v", st.batches, st.fetches)
	}
	if err := e.Close(); err != nil {
		t.Fatal("a second Close:", err)
	}
}

func TestNewLimitsTakeEffectWithTheNextRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		for i := range 900 {
			create(t, e, fmt.Sprintf("%03d", i), "v")
		}
		s := settings()
		s.Limits.MaxKeys = 10
		e.Configure(s)
		synctest.Wait()
		if n := len(st.Order(1000)); n != 900 {
			t.Fatalf("%d keys before the next call", n)
		}
		get(t, e, "899")
		synctest.Wait()
		order := st.Order(1000)
		if len(order) != 10 {
			t.Fatalf("%d keys after the next call, want 10", len(order))
		}
		if last := order[len(order)-1]; last.Key != "899" || last.Score != 1 {
			t.Errorf("the only key that was ever read should come last: %+v", last)
		}
	})
}

func TestLimitsAreTriedAgainWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		st.beforeApply = func(store.Batch) error { return store.ErrUnavailable }
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		get(t, e, "k")
		synctest.Wait()
		st.set(func() { st.beforeApply = nil })
		time.Sleep(2 * time.Second)
		st.set(func() {
			if n := len(st.batches); n != 2 || !st.batches[1].SetLimits {
				t.Errorf("%d tries", n)
			}
		})
	})
}
