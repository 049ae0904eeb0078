package redisproxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// watched returns the log of a handler, and a function that sends n requests for a path to
// the handler.
func watched(t *testing.T, settings string) (send func(n int, path string), logged func() []observer.LoggedEntry) {
	h := parse(t, "namespace watched\n"+settings)
	provision(t, h)
	core, logs := observer.New(zapcore.WarnLevel)
	h.logger = zap.New(core)
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	send = func(n int, path string) {
		t.Helper()
		for range n {
			if err := h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil), next); err != nil {
				t.Fatal(err)
			}
		}
	}
	return send, logs.All
}

func TestAHandlerThatNothingReachesSaysSo(t *testing.T) {
	send, logged := watched(t, "path_prefix /kv")
	send(99, "/cache/k")
	if got := logged(); len(got) != 0 {
		t.Fatalf("too early: %v", got)
	}
	send(1, "/cache/k")
	send(300, "/cache/k")
	got := logged()
	if len(got) != 1 {
		t.Fatalf("%d lines, want one: %v", len(got), got)
	}
	for _, hint := range []string{"path_prefix", "matcher", "handle_path", "docs/sites.md"} {
		if !strings.Contains(got[0].Message, hint) {
			t.Errorf("no %s in %s", hint, got[0].Message)
		}
	}
	if fields := got[0].ContextMap(); fields["path_prefix"] != "/kv" || fields["passed_on"] != int64(100) {
		t.Error(fields)
	}
}

func TestAHandlerThatIsReachedSaysNothing(t *testing.T) {
	for _, path := range []string{"/cache/k", "/cache/", "/Cache/k"} {
		send, logged := watched(t, "")
		send(99, "/")
		send(1, path)
		send(300, "/")
		if got := logged(); len(got) != 0 {
			t.Errorf("after %s: %v", path, got)
		}
	}
}
