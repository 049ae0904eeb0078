package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The call of the first write sends its batch itself. The deadline of a store's call bounds it.
func TestAWriteThatSendsItsBatchIsAnsweredInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &unanswered{scripted: newScripted()}
		e := engine.New(st, settings(), engine.Options{})
		create(t, e, "k", "old")
		value(t, e, "k")
		st.isSilent.Store(true)
		begin := time.Now()
		_, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("new")})
		if took := time.Since(begin); !errors.Is(err, engine.ErrMayBeApplied) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("the local tier still answers: %q", got)
		}
		e.Close()
	})
}

// unanswered applies batches. While it is silent, no answer comes until the deadline.
type unanswered struct {
	*scripted
	isSilent atomic.Bool
}

func (s *unanswered) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	applied, err := s.scripted.Apply(ctx, b)
	if err == nil && s.isSilent.Load() {
		<-ctx.Done()
		return store.Applied{}, store.ErrFateUnknown
	}
	return applied, err
}

// A server that recovers from panics goes on, and later writes must not wait for a batch
// that never ends.
func TestAfterAPanicInABatchWritesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "first", "v")
		synctest.Wait()
		st.set(func() { st.beforeApply = func(store.Batch) error { panic("on purpose") } })
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: store.Value{}})
		}()
		st.set(func() { st.beforeApply = nil })
		create(t, e, "k", "v")
		if stats := e.Stats(); stats.QueueJobs != 0 || stats.QueueBytes != 0 {
			t.Errorf("the queue still counts %d jobs of %d bytes", stats.QueueJobs, stats.QueueBytes)
		}
	})
}

func TestAfterAPanicInPrepareTheKeyIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := true
		e := engine.New(newScripted(), settings(), engine.Options{Prepare: func(string, *store.Entry) (any, int) {
			if panics {
				panic("on purpose")
			}
			return nil, 0
		}})
		defer e.Close()
		create(t, e, "k", "v")
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = e.Get(context.Background(), "k", engine.Read{})
		}()
		panics = false
		if got := value(t, e, "k"); got != "v" {
			t.Errorf("got %q", got)
		}
	})
}

// Close must not end before a batch that a call sends, nor close the store under it.
func TestCloseWaitsForABatchThatACallSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		hold := make(chan struct{})
		st.set(func() { st.beforeApply = func(store.Batch) error { <-hold; return nil } })
		written := make(chan error, 1)
		go func() {
			_, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: text("v")})
			written <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			e.Close()
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a batch is on its way")
		default:
		}
		close(hold)
		if err := <-written; err != nil {
			t.Errorf("the write got %v", err)
		}
		<-closed
	})
}
