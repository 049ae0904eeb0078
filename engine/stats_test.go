package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// total returns how many values a histogram has, and what they add up to.
func total(h engine.Histogram) string {
	n := uint64(0)
	for _, count := range h.Counts {
		n += count
	}
	return fmt.Sprintf("%d values, %.1f together", n, h.Sum)
}

func TestStatsShowWhatWaitsAndHowLongItWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		get(t, e, "absent") // the first call makes a batch that only sets limits
		synctest.Wait()
		release := make(chan struct{})
		st.set(func() { st.beforeApply = func(store.Batch) error { <-release; return nil } })
		var writes sync.WaitGroup
		write := func(key string) {
			writes.Go(func() {
				_, _ = e.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text("v")})
			})
			synctest.Wait()
		}
		write("a") // taken at once, and held up
		write("b")
		write("c")
		if s := e.Stats(); s.QueueJobs != 3 || s.QueueBytes != 6 || s.MaxQueueJobs != 64 || s.MaxQueueBytes != 1<<20 {
			t.Errorf("three wait, and the stats are %+v", s)
		}
		time.Sleep(200 * time.Millisecond)
		close(release)
		writes.Wait()

		s := e.Stats()
		if got := total(s.QueueWait); s.QueueJobs != 0 || got != "3 values, 0.4 together" {
			t.Errorf("%d wait, waits: %s", s.QueueJobs, got)
		}
		if got := total(s.Applies.Size); s.Applies.Calls != 3 || got != "3 values, 3.0 together" {
			t.Errorf("%d batches, sizes: %s", s.Applies.Calls, got)
		}
		if got := total(s.Applies.Duration); got != "3 values, 0.2 together" {
			t.Errorf("durations: %s", got)
		}
		// 0 and 1 are within the bound 1, and 2 within the next.
		if c := s.Applies.Size.Counts; c[0] != 2 || c[1] != 1 {
			t.Errorf("sizes are counted as %v", c)
		}
	})
}

func TestStatsTellErrorsByKind(t *testing.T) {
	for kind, fault := range map[string]error{
		"timeout":     fmt.Errorf("%w: %w", store.ErrUnavailable, context.DeadlineExceeded),
		"unavailable": store.ErrUnavailable,
		"refused":     fmt.Errorf("%w: OOM", store.ErrRefused),
		"unknown":     store.ErrFateUnknown,
		"closed":      store.ErrClosed,
	} {
		t.Run(kind, func(t *testing.T) {
			st := newScripted()
			e := open(t, st, patient())
			st.set(func() {
				st.beforeFetch = func([]string) error { return fault }
				st.beforeApply = func(b store.Batch) error { return fault }
			})
			if _, err := e.Get(context.Background(), "k", engine.Read{}); err == nil {
				t.Error("the read succeeded")
			}
			if _, err := e.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: text("v")}); err == nil {
				t.Error("the write succeeded")
			}
			s := e.Stats()
			if s.Fetches.Errors[kind] != 1 || len(s.Fetches.Errors) != 1 || s.Fetches.Calls != 1 {
				t.Errorf("fetches: %+v", s.Fetches)
			}
			// Chores, such as setting limits, fail too.
			if n := s.Applies.Errors[kind]; n == 0 || n != s.Applies.Calls {
				t.Errorf("applies: %+v", s.Applies)
			}
		})
	}
}

func TestStatsCountReadsThatJoinAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		release := make(chan struct{})
		st.set(func() { st.beforeFetch = func([]string) error { <-release; return nil } })
		var reads sync.WaitGroup
		for range 5 {
			reads.Go(func() { value(t, e, "k") })
		}
		synctest.Wait()
		close(release)
		reads.Wait()
		if s := e.Stats(); s.Joined != 4 || s.Fetches.Calls != 1 {
			t.Errorf("%d joined, %d fetches", s.Joined, s.Fetches.Calls)
		}
	})
}

func TestStatsRememberTheLastEvictions(t *testing.T) {
	s := patient()
	s.Limits.MaxKeys = 2
	e := open(t, newScripted(), s)
	begin := time.Now()
	for i := range 30 {
		create(t, e, fmt.Sprint(i), "v")
	}
	stats := e.Stats()
	if stats.Evicted != 28 || len(stats.LastEvictions) != 20 {
		t.Fatalf("%d evicted, %d remembered", stats.Evicted, len(stats.LastEvictions))
	}
	for i, eviction := range stats.LastEvictions {
		if eviction.Key != fmt.Sprint(i+8) || eviction.At.Before(begin) || eviction.At.After(time.Now()) {
			t.Errorf("number %d is %+v", i, eviction)
		}
	}
}

func TestStatsCountWhatIsEvictedUnread(t *testing.T) {
	s := patient()
	s.Limits.MaxKeys = 1
	e := open(t, newScripted(), s)
	create(t, e, "read", "v")
	value(t, e, "read")
	create(t, e, "unread", "v")
	create(t, e, "last", "v")
	if stats := e.Stats(); stats.Evicted != 2 || stats.EvictedUnread != 1 {
		t.Errorf("%d evicted, %d unread", stats.Evicted, stats.EvictedUnread)
	}
}

func TestStatsOfTheLocalTier(t *testing.T) {
	s := patient()
	s.LocalMaxBytes = 10_000
	e := open(t, newScripted(), s)
	const keys = 100
	for i := range keys {
		create(t, e, fmt.Sprint(i), strings.Repeat("x", 100))
		value(t, e, fmt.Sprint(i))
	}
	// Room is made beside the reads.
	eventually(t, "the rest has left", func() bool {
		l := e.Stats().Local
		return l.Evictions > 0 && l.Bytes <= l.MaxBytes && l.Bytes >= int64(100*l.Entries) && uint64(l.Entries)+l.Evictions == keys
	})
	if l := e.Stats().Local; l.MaxBytes != 10_000 {
		t.Errorf("%+v", l)
	}
}

func TestARemovalIsNoLocalEviction(t *testing.T) {
	e := open(t, newScripted(), patient())
	create(t, e, "k", "v")
	value(t, e, "k")
	remove(t, e, "k")
	if l := e.Stats().Local; l.Entries != 0 || l.Evictions != 0 {
		t.Errorf("%+v", l)
	}
}

func TestStatsOfTheSubscription(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		if s := e.Stats(); !s.Shared || !s.Subscribed || s.Events != 0 || s.SubscriptionsLost != 0 {
			t.Errorf("%+v", s)
		}
		o.Changed(store.Event{ID: store.Version{Number: 1}})
		o.Lost(errors.New("gone"))
		o.Lost(errors.New("still gone"))
		time.Sleep(2 * time.Second)
		if s := e.Stats(); s.Subscribed || s.Events != 1 || s.SubscriptionsLost != 1 {
			t.Errorf("%+v", s)
		}
	})
	if s := open(t, newScripted(), settings()).Stats(); s.Shared || s.Subscribed {
		t.Errorf("a store that nobody else writes to: %+v", s)
	}
}

// TestStatsHaveEmptyListsInJSON checks that readers of the JSON need not expect null.
func TestStatsHaveEmptyListsInJSON(t *testing.T) {
	b, err := json.Marshal(open(t, newScripted(), patient()).Stats())
	if err != nil || strings.Contains(string(b), "null") {
		t.Errorf("%s, %v", b, err)
	}
}
