package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestAPrefixIsDeletedWhileOthersWrite(t *testing.T) {
	const many = 10_000
	st := newScripted()
	s := patient()
	s.MaxQueueJobs = 64
	s.Limits.MaxKeys = 2 * many
	filled(t, st.Store, s.Limits, "drop/", many)
	filled(t, st.Store, s.Limits, "keep/", 10)
	e := open(t, st, s)

	// Few enough writers for the half of the queue that is theirs.
	stop := make(chan struct{})
	var wrote atomic.Int64
	var writers sync.WaitGroup
	for w := range s.MaxQueueJobs / 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := e.Write(context.Background(), store.Write{Op: store.Put, Key: fmt.Sprintf("keep/%d", w), Value: text("v")}); err != nil {
					t.Errorf("a write was refused: %v", err)
					return
				}
				wrote.Add(1)
			}
		})
	}
	deleted, err := e.DeletePrefix(t.Context(), "drop/")
	close(stop)
	writers.Wait()
	if err != nil || deleted != many {
		t.Errorf("deleted %d, %v", deleted, err)
	}
	if wrote.Load() == 0 {
		t.Error("nobody wrote")
	}
	size, err := e.Size(t.Context())
	if err != nil || size.Keys != s.MaxQueueJobs/2 {
		t.Errorf("%+v, %v", size, err)
	}
	for _, n := range st.batchSizes() {
		if n > s.MaxQueueJobs {
			t.Errorf("a batch of %d", n)
		}
	}
}

// filled creates n entries, a batch at a time.
func filled(t *testing.T, st store.Store, limits store.Limits, prefix string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := 0; i < n; {
		b := store.Batch{Limits: limits, SetLimits: true}
		for ; i < n && len(b.Writes) < store.MaxBatch; i++ {
			b.Writes = append(b.Writes, store.Write{Op: store.Create, Key: fmt.Sprint(prefix, i), Value: text("v")})
		}
		if _, err := st.Apply(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeletingAPrefixSaysHowFarItCame(t *testing.T) {
	failing := errors.New("no more")
	st := newScripted()
	s := patient()
	filled(t, st.Store, s.Limits, "k", 500)
	e := open(t, st, s)
	var applied atomic.Int64
	st.set(func() {
		st.beforeApply = func(b store.Batch) error {
			if applied.Add(int64(len(b.Writes))) > 100 {
				return fmt.Errorf("%w: %w", store.ErrUnavailable, failing)
			}
			return nil
		}
	})
	deleted, err := e.DeletePrefix(t.Context(), "")
	if !errors.Is(err, engine.ErrUnavailable) || !errors.Is(err, failing) {
		t.Errorf("%v", err)
	}
	size, sizeErr := e.Size(t.Context())
	if sizeErr != nil || deleted == 0 || size.Keys != 500-deleted {
		t.Errorf("deleted %d, %d are left", deleted, size.Keys)
	}
}

func TestDeletingAPrefixEndsWithItsContext(t *testing.T) {
	st := newScripted()
	s := patient()
	filled(t, st.Store, s.Limits, "k", 10)
	e := open(t, st, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if deleted, err := e.DeletePrefix(ctx, "k"); !errors.Is(err, context.Canceled) || deleted != 0 {
		t.Errorf("deleted %d, %v", deleted, err)
	}
}

func TestDeletingAPrefixGivesUpOnAQueueThatStaysFull(t *testing.T) {
	s := settings()
	s.MaxQueueJobs = 2 // the first write has half of it
	held(t, s, func(t *testing.T, e *engine.Engine, st *scripted, release func()) {
		defer release()
		filled(t, st.Store, s.Limits, "k", 10)
		begin := time.Now()
		deleted, err := e.DeletePrefix(t.Context(), "k")
		// It tries a little longer than the write that it waits for has time.
		if took := time.Since(begin); !errors.Is(err, engine.ErrQueueFull) || deleted != 0 || took < s.Timeout || took > 2*s.Timeout {
			t.Errorf("deleted %d, %v, after %v", deleted, err, took)
		}
	})
}

func TestLocalEntriesCanBeSeenAndDropped(t *testing.T) {
	e := open(t, newScripted(), patient())
	create(t, e, "a", "1")
	create(t, e, "b", "2")
	if _, ok := e.LookLocal("a"); ok {
		t.Error("local before it was read")
	}
	get(t, e, "a")
	get(t, e, "b")
	if ttl, ok := e.LookLocal("a"); !ok || ttl <= 0 || ttl > patient().LocalTTL {
		t.Errorf("%v, %v", ttl, ok)
	}
	if !e.DropLocal("a") || e.DropLocal("a") {
		t.Error("what was dropped was not what was held")
	}
	if _, ok := e.LookLocal("a"); ok {
		t.Error("still local")
	}
	if a := get(t, e, "b"); a.Source != engine.Local {
		t.Error("another key was dropped as well")
	}
	e.DropAllLocal()
	for _, key := range []string{"a", "b"} {
		if a := get(t, e, key); a.Source != engine.Store || a.Entry == nil {
			t.Errorf("%q: %+v", key, a)
		}
	}
}

// A fetch must not bring back a key that is dropped while the fetch is on its way.
func TestAFetchOnItsWayDoesNotOutliveADrop(t *testing.T) {
	for name, drop := range map[string]func(e *engine.Engine){
		"the key": func(e *engine.Engine) { e.DropLocal("a") },
		"all":     func(e *engine.Engine) { e.DropAllLocal() },
	} {
		t.Run(name, func(t *testing.T) {
			st := newScripted()
			e := open(t, st, patient())
			create(t, e, "a", "1")
			fetched, goOn := make(chan struct{}), make(chan struct{})
			st.set(func() {
				st.afterFetch = func([]string) error {
					close(fetched)
					<-goOn
					return nil
				}
			})
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				_, _ = e.Get(context.Background(), "a", engine.Read{})
			}()
			<-fetched
			st.set(func() { st.afterFetch = nil })
			drop(e)
			close(goOn)
			<-answered
			if _, ok := e.LookLocal("a"); ok {
				t.Error("it is local again")
			}
		})
	}
}

func TestNobodyBrowsesInAClosedEngine(t *testing.T) {
	st := newScripted()
	e := engine.New(st, patient(), engine.Options{})
	if _, err := e.Page(t.Context(), "no cursor", 1, store.Next); !errors.Is(err, store.ErrCursor) {
		t.Errorf("%v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, size := e.Size(t.Context())
	_, page := e.Page(t.Context(), "", 1, store.Next)
	_, look := e.Look(t.Context(), "a")
	_, deleted := e.DeletePrefix(t.Context(), "")
	for i, err := range []error{size, page, look, deleted} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
