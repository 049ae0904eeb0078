package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/spantest"
)

// within is an error of the engine that wraps one of a store.
func within(err, of error) error { return fmt.Errorf("%w: %w", err, of) }

func TestKindOf(t *testing.T) {
	full := &store.CausedError{Cause: store.Full, Err: errors.New("OOM")}
	for _, c := range []struct {
		err  error
		want engine.Kind
	}{
		{engine.ErrNotLocal, engine.KindNotLocal},
		{engine.ErrQueueFull, engine.KindQueueFull},
		{engine.ErrClosed, engine.KindClosed},
		{engine.ErrTimeout, engine.KindTimeout},
		{engine.ErrRefused, engine.KindRefused},
		{engine.ErrTooMuchAtOnce, engine.KindRefused},
		{engine.ErrUnavailable, engine.KindUnavailable},
		{engine.ErrMayBeApplied, engine.KindUnknown},
		{engine.ErrNotDurable, engine.KindNotDurable},
		{within(engine.ErrBasisNotDurable, within(store.ErrNotDurable, context.DeadlineExceeded)), engine.KindNotDurable},
		{context.DeadlineExceeded, engine.KindTimeout},
		{context.Canceled, engine.KindCanceled},
		{errors.New("another"), engine.KindFailed},

		{within(engine.ErrRefused, full), engine.KindRefused},
		{within(engine.ErrUnavailable, within(store.ErrUnavailable, context.DeadlineExceeded)), engine.KindTimeout},
		{within(engine.ErrUnavailable, within(store.ErrUnavailable, os.ErrDeadlineExceeded)), engine.KindUnavailable},
		{within(engine.ErrMayBeApplied, within(store.ErrFateUnknown, context.DeadlineExceeded)), engine.KindUnknown},
		// A read changes nothing, even if its fate is unknown.
		{within(engine.ErrUnavailable, store.ErrFateUnknown), engine.KindUnavailable},
	} {
		if got := engine.KindOf(c.err); got != c.want || !slices.Contains(engine.Kinds, got) {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}

func TestErrorsOfTheStoreHaveTheirTextOnce(t *testing.T) {
	full := &store.CausedError{Cause: store.Full, Err: errors.New("OOM"), Advice: "raise maxmemory"}
	for _, c := range []struct {
		fault              error
		get, create        string
		getKind, writeKind engine.Kind
	}{
		{
			fmt.Errorf("calling: %w: %w", store.ErrRefused, full), "calling: the store refuses: OOM; raise maxmemory",
			"calling: the store refuses: OOM; raise maxmemory", engine.KindRefused, engine.KindRefused,
		},
		{
			fmt.Errorf("calling: %w: %w", store.ErrUnavailable, os.ErrNotExist), "calling: store unavailable: file does not exist",
			"calling: store unavailable: file does not exist", engine.KindUnavailable, engine.KindUnavailable,
		},
		{
			fmt.Errorf("calling: %w", store.ErrFateUnknown), "calling: no answer from the store",
			"the write may have been applied: calling: no answer from the store", engine.KindUnavailable, engine.KindUnknown,
		},
		{fmt.Errorf("calling: %w", store.ErrClosed), "engine closed", "engine closed", engine.KindClosed, engine.KindClosed},
	} {
		st := newScripted()
		e := open(t, st, patient())
		st.set(func() {
			st.beforeFetch = func([]string) error { return c.fault }
			st.beforeApply = func(store.Batch) error { return c.fault }
		})
		if _, err := e.Get(t.Context(), "k", engine.Read{}); err == nil || err.Error() != c.get || engine.KindOf(err) != c.getKind {
			t.Errorf("a read: %v, want %s", err, c.get)
		}
		if _, err := e.Write(t.Context(), store.Write{Op: store.Create, Key: "k", Value: text("v")}); err == nil || err.Error() != c.create || engine.KindOf(err) != c.writeKind {
			t.Errorf("a write: %v, want %s", err, c.create)
		}
	}
}

func TestTracesTellKindsAndCauses(t *testing.T) {
	for want, fault := range map[string]error{
		"timeout":     within(store.ErrUnavailable, context.DeadlineExceeded),
		"unavailable": store.ErrUnavailable,
		"full":        within(store.ErrRefused, &store.CausedError{Cause: store.Full, Err: errors.New("OOM")}),
		"closed":      store.ErrClosed,
	} {
		t.Run(want, func(t *testing.T) {
			st := newScripted()
			e := open(t, st, patient())
			st.set(func() {
				st.beforeFetch = func([]string) error { return fault }
				st.beforeApply = func(store.Batch) error { return fault }
			})
			var r spantest.Recorder
			r.Trace(t.Context(), "GET", func(ctx context.Context) { _, _ = e.Get(ctx, "k", engine.Read{}) })
			r.Trace(t.Context(), "POST", func(ctx context.Context) {
				_, _ = e.Write(ctx, store.Write{Op: store.Create, Key: "k", Value: text("v")})
			})
			got := lines(r.Ended())
			for _, line := range []string{
				"redis_proxy fetch < GET -> redis_proxy fetch batch [keys=1 found=0 outcome=%s error]",
				"redis_proxy fetch batch < redis_proxy fetch [keys=1 found=0 outcome=%s error]",
				"redis_proxy apply < POST -> redis_proxy apply batch [writes=1 outcome=%s error]",
				"redis_proxy apply batch < redis_proxy apply [writes=1 evicted=0 outcome=%s error]",
			} {
				if line = fmt.Sprintf(line, want); !slices.Contains(got, line) {
					t.Errorf("%s is missing from\n%v", line, got)
				}
			}
		})
	}
}
