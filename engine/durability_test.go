package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/spantest"
)

// slow is a store that takes time to make batches durable, or fails to.
type slow struct {
	*scripted
	short  error
	waited time.Duration
}

func (s *slow) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	a, err := s.scripted.Apply(ctx, b)
	s.mu.Lock()
	short, waited := s.short, s.waited
	s.mu.Unlock()
	if b.Durability != store.InMemory && len(b.Writes) > 0 {
		time.Sleep(waited)
		a.NotDurable, a.Waited = short, waited
	}
	return a, err
}

func TestAWriteThatIsNotDurableIsAppliedAndAnsweredWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{scripted: newScripted()}
		s := settings()
		s.Durability = 2
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		put(t, e, "k", "old")
		value(t, e, "k")
		short := within(store.ErrNotDurable, &store.CausedError{Cause: store.NotDurable, Err: errors.New("no replica")})
		st.set(func() { st.short = short })

		var r spantest.Recorder
		ctx := t.Context()
		r.Trace(ctx, "PUT", func(ctx context.Context) {
			if _, err := e.Write(ctx, store.Write{Op: store.Put, Key: "k", Value: text("new")}); engine.KindOf(err) != engine.KindNotDurable || errors.Is(err, engine.ErrBasisNotDurable) {
				t.Errorf("got %v", err)
			}
		})
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("a read after it: %q", got)
		}
		for _, line := range []string{
			"redis_proxy apply < PUT -> redis_proxy apply batch [writes=1 outcome=not_durable error]",
			"redis_proxy apply batch < redis_proxy apply [writes=1 evicted=0 outcome=not_durable error]",
		} {
			if got := lines(r.Ended()); !slices.Contains(got, line) {
				t.Errorf("%s is missing from\n%v", line, got)
			}
		}
		for name, write := range map[string]func() (store.Result, error){
			"a conflict": func() (store.Result, error) {
				return e.Write(ctx, store.Write{Op: store.Create, Key: "k", Value: text("v")})
			},
			"an absent key": func() (store.Result, error) {
				return e.Write(ctx, store.Write{Op: store.Delete, Key: "none"})
			},
			"a failed precondition": func() (store.Result, error) {
				return e.Write(ctx, store.Write{Op: store.Put, Key: "k", Value: text("v"), IfNoneMatch: store.AnyVersion})
			},
		} {
			if _, err := write(); !errors.Is(err, engine.ErrBasisNotDurable) || store.CauseOf(err) != store.NotDurable {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := e.Stats().Applies.Errors["not_durable"]; n != 4 {
			t.Errorf("%d calls count as not durable", n)
		}
	})
}

func TestADurabilityHoldsFromTheNextBatchOn(t *testing.T) {
	st := newScripted()
	s := patient()
	e := open(t, st, s)
	for _, d := range []store.Durability{store.InMemory, store.Fsync, 1, store.InMemory} {
		s.Durability = d
		e.Configure(s)
		put(t, e, "k", "v")
		st.mu.Lock()
		if got := st.batches[len(st.batches)-1].Durability; got != d {
			t.Errorf("a batch demands %s, want %s", got, d)
		}
		st.mu.Unlock()
	}
}

// With appendfsync everysec a batch takes a second, and a write may arrive just after one
// has begun.
func TestWritesThatWaitForADiskHaveTimeForTwoBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slow{scripted: newScripted(), waited: time.Second}
		s := settings()
		s.Durability, s.Timeout, s.MaxQueueJobs = store.Fsync, 3*time.Second, 2000
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		results := make(chan error, 1000)
		for range 5 {
			for range 200 {
				go func() {
					_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("v")})
					results <- err
				}()
			}
			time.Sleep(800 * time.Millisecond)
		}
		for range 1000 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if sizes := st.batchSizes(); len(sizes) > 10 {
			t.Errorf("batches of %v writes", sizes)
		}
	})
}
