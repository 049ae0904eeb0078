package running

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// slowStore is a store whose checks take a while.
type slowStore struct {
	takes  time.Duration
	err    error
	checks int
}

func (s *slowStore) check(ctx context.Context) store.Health {
	s.checks++
	health := store.Health{Reads: s.err}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		health.Reads = ctx.Err()
	}
	return health
}

func TestManyCallersShareACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		h, s := newHealthChecks(), &slowStore{takes: 300 * time.Millisecond, err: down}
		begin := time.Now()
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				if got := h.get(t.Context(), s.check); got.Reads != down {
					t.Errorf("got %v", got.Reads)
				}
			})
		}
		callers.Wait()
		if s.checks != 1 || time.Since(begin) != s.takes {
			t.Errorf("%d checks in %v", s.checks, time.Since(begin))
		}
	})
}

func TestAnAnswerIsReusedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := newHealthChecks(), &slowStore{takes: time.Millisecond}
		h.get(t.Context(), s.check)
		s.err = errors.New("down")
		time.Sleep(healthFor)
		if got := h.get(t.Context(), s.check); got.Reads != nil || s.checks != 1 {
			t.Errorf("after a second: %v, %d checks", got.Reads, s.checks)
		}
		time.Sleep(time.Nanosecond)
		if got := h.get(t.Context(), s.check); got.Reads == nil || s.checks != 2 {
			t.Errorf("after more than a second: %v, %d checks", got.Reads, s.checks)
		}
	})
}

func TestACallerThatLeavesSpoilsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := newHealthChecks(), &slowStore{takes: 300 * time.Millisecond}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() { h.get(first, s.check) })
		synctest.Wait()
		callers.Go(func() {
			if got := h.get(second, s.check); got.Reads != context.Canceled || got.Writes != context.Canceled {
				t.Errorf("a caller that left got %v", got)
			}
			if s.checks != 1 {
				t.Error("it checked though it had left")
			}
		})
		callers.Go(func() {
			if got := h.get(t.Context(), s.check); got.Reads != nil {
				t.Errorf("a caller that stayed got %v", got.Reads)
			}
		})
		synctest.Wait()
		leaveFirst()
		leaveSecond()
		callers.Wait()
		if s.checks != 1 {
			t.Errorf("%d checks", s.checks)
		}
	})
}
