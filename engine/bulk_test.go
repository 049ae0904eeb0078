package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// submit submits a write of key and fails the test if it is refused.
func submit(t *testing.T, e *engine.Engine, w store.Write) engine.Pending {
	t.Helper()
	p, err := e.Submit(t.Context(), w, time.Hour)
	if err != nil {
		t.Fatalf("submitting %q: %v", w.Key, err)
	}
	return p
}

func created(key, value string) store.Write {
	return store.Write{Op: store.Create, Key: key, Value: text(value)}
}

func TestSubmittedWritesOfAKeyAreAppliedInOrder(t *testing.T) {
	e := open(t, newScripted(), patient())
	var pending []engine.Pending
	for i := range 20 {
		for _, op := range []store.Op{store.Create, store.Put, store.Delete} {
			pending = append(pending, submit(t, e, store.Write{Op: op, Key: "k", Value: text(fmt.Sprint(i))}))
		}
	}
	for i, p := range pending {
		want(t, []store.Outcome{store.Created, store.Replaced, store.Deleted}[i%3])(p.Wait(t.Context()))
	}
}

func TestSubmittedWritesTakeAtMostHalfOfTheQueue(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*engine.Settings)
		fit    int
	}{
		"jobs":  {func(s *engine.Settings) { s.MaxQueueJobs = 8 }, 4},
		"bytes": {func(s *engine.Settings) { s.MaxQueueBytes = 80 }, 4}, // of 10 bytes
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, s := newScripted(), settings()
				c.change(&s)
				hold := make(chan struct{})
				st.beforeApply = func(b store.Batch) error {
					if len(b.Writes) > 0 {
						<-hold
					}
					return nil
				}
				e := engine.New(st, s, engine.Options{})
				var pending []engine.Pending
				for i := range c.fit {
					pending = append(pending, submit(t, e, created(fmt.Sprint("k", i), "12345678")))
				}
				var last engine.Pending
				isSubmitted := false
				go func() {
					last, isSubmitted = submit(t, e, created("kn", "12345678")), true
				}()
				synctest.Wait()
				if isSubmitted {
					t.Error("there was a place for more than half")
				}
				for i := range 4 {
					go func() { want(t, store.Created)(e.Write(t.Context(), created(fmt.Sprint("s", i), "1"))) }()
				}
				synctest.Wait()
				close(hold)
				synctest.Wait()
				for _, p := range append(pending, last) {
					want(t, store.Created)(p.Wait(t.Context()))
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheTimeOfASubmittedWriteBeginsWithItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := newScripted(), settings()
		s.MaxQueueJobs = 2
		st.beforeApply = func(b store.Batch) error {
			if len(b.Writes) > 0 {
				time.Sleep(s.Timeout * 9 / 10)
			}
			return nil
		}
		e := engine.New(st, s, engine.Options{})
		began := time.Now()
		for i := range 5 {
			want(t, store.Created)(submit(t, e, created(fmt.Sprint(i), "v")).Wait(t.Context()))
		}
		// While another one has the only place:
		first := submit(t, e, created("first", "v"))
		second := submit(t, e, created("second", "v"))
		want(t, store.Created)(first.Wait(t.Context()))
		want(t, store.Created)(second.Wait(t.Context()))
		if took := time.Since(began); took < 6*s.Timeout {
			t.Errorf("all took %v", took)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestASubmittedWriteThatGetsNoPlaceIsNotApplied(t *testing.T) {
	gone := errors.New("the client is gone")
	for name, c := range map[string]struct {
		end  func(e *engine.Engine, leave context.CancelCauseFunc)
		want error
	}{
		"the queue stays full": {func(*engine.Engine, context.CancelCauseFunc) { time.Sleep(700 * time.Millisecond) }, engine.ErrQueueFull},
		"the client leaves":    {func(_ *engine.Engine, leave context.CancelCauseFunc) { leave(gone) }, gone},
		"the engine closes":    {func(e *engine.Engine, _ context.CancelCauseFunc) { go e.Close() }, engine.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, s := newScripted(), settings()
				s.MaxQueueJobs = 2
				hold := make(chan struct{})
				st.beforeApply = func(b store.Batch) error {
					if len(b.Writes) > 0 {
						<-hold
					}
					return nil
				}
				e := engine.New(st, s, engine.Options{})
				first := submit(t, e, created("first", "v"))
				ctx, leave := context.WithCancelCause(t.Context())
				refused := make(chan error, 1)
				go func() {
					_, err := e.Submit(ctx, created("second", "v"), 500*time.Millisecond)
					refused <- err
				}()
				synctest.Wait()
				c.end(e, leave)
				if err := <-refused; err != c.want {
					t.Errorf("got %v, want %v", err, c.want)
				}
				close(hold)
				want(t, store.Created)(first.Wait(t.Context()))
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				if jobs := e.Stats().QueueJobs; jobs != 0 {
					t.Errorf("%d jobs are left", jobs)
				}
				for _, b := range st.batches {
					for _, w := range b.Writes {
						if w.Key == "second" {
							t.Error("the write was applied")
						}
					}
				}
			})
		})
	}
}

func TestASubmittedWriteWhoseClientLeavesBeforeItsTurnIsNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		hold := make(chan struct{})
		st.beforeApply = func(b store.Batch) error {
			if len(b.Writes) > 0 {
				<-hold
			}
			return nil
		}
		e := engine.New(st, settings(), engine.Options{})
		first := submit(t, e, created("first", "v"))
		synctest.Wait() // it is taken
		second := submit(t, e, created("second", "v"))
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := second.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(hold)
		want(t, store.Created)(first.Wait(ctx)) // taken, so it is carried out
		if v := value(t, e, "second"); v != "absent" {
			t.Errorf("the write was applied: %s", v)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
