package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func TestEngineErrors(t *testing.T) {
	s := &Server{config: Config{Logger: zap.NewNop()}}
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, c := range []struct {
		err    error
		ctx    context.Context
		status int
		detail string
		passed bool
	}{
		{engine.ErrQueueFull, t.Context(), 503, "too many writes are waiting", false},
		{engine.ErrTimeout, t.Context(), 503, "waited too long for the store, nothing was changed", false},
		{engine.ErrUnavailable, t.Context(), 503, "cannot be reached", false},
		{fmt.Errorf("%w: %s", engine.ErrRefused, "OOM of user secret"), t.Context(), 503, "\"the store answered with an error, nothing was changed; the log of this server says which\"}", false},
		{caused(engine.ErrRefused, store.Full), t.Context(), 503, "\"the store is full, nothing was changed; the log of this server says what to do\"}", false},
		{caused(engine.ErrUnavailable, store.TLS), t.Context(), 503, "the TLS connection to the store failed", false},
		{caused(engine.ErrMayBeApplied, store.Permission), t.Context(), 503, "lacks a right in the store: the write may have been applied", false},
		{engine.ErrTooMuchAtOnce, t.Context(), 503, "it was not applied, repeat the request", false},
		{engine.ErrMayBeApplied, t.Context(), 503, "may have been applied", false},
		{caused(engine.ErrNotDurable, store.NotDurable), t.Context(), 503, "\"the write is in the store, but was not made as safe in time as `durability` asks, and may be lost; repeat the request", false},
		{caused(engine.ErrBasisNotDurable, store.Permission), t.Context(), 503, "\"nothing was changed because of what the store holds, but that was not made as safe", false},
		{caused(engine.ErrRefused, store.TooOld), t.Context(), 503, "older than Redis 7.2, which `durability fsync` needs, nothing was changed", false},
		{engine.ErrNotLocal, t.Context(), 504, "only-if-cached", false},
		{context.Canceled, gone, 499, "", true},
		{errors.New("broken"), t.Context(), 500, "", true},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/cache/k", nil).WithContext(c.ctx)
		err := s.fail(&exchange{w: w, r: r}, c.err)
		if c.passed {
			herr, ok := err.(caddyhttp.HandlerError)
			if !ok || herr.StatusCode != c.status || !errors.Is(herr, c.err) {
				t.Errorf("%v: got %v", c.err, err)
			}
			continue
		}
		body, _ := io.ReadAll(w.Body)
		if err != nil || w.Code != c.status || !strings.Contains(string(body), c.detail) {
			t.Errorf("%v: got %v, %d, %s", c.err, err, w.Code, body)
		}
		if retry := w.Header().Get("Retry-After"); (retry == "1") != (c.status == 503) {
			t.Errorf("%v: Retry-After is %q", c.err, retry)
		}
	}
}

// caused returns an error of the engine with a cause, and with text that clients must not
// see.
func caused(err error, cause store.Cause) error {
	return fmt.Errorf("%w: %w", err, &store.CausedError{Cause: cause, Err: errors.New("said by 10.0.0.1"), Advice: "check the password"})
}

func TestEveryKindOfFailureHasAnAnswer(t *testing.T) {
	for _, kind := range engine.Kinds {
		if f, ok := engineFailures[kind]; !ok || f.status < 499 || running.OutcomeNames[f.outcome] != string(kind) && kind != engine.KindCanceled {
			t.Errorf("%s: %+v", kind, f)
		}
	}
}

func TestEveryCauseHasADetailForClients(t *testing.T) {
	for _, cause := range store.Causes {
		if causeDetails[cause] == "" {
			t.Errorf("%s has none", cause)
		}
	}
}
