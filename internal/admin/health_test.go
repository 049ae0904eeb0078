package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestHealthChecksItsPath(t *testing.T) {
	for path, isGood := range map[string]bool{"": true, "/": true, "/health": true, "health": false, "/health/": false, "/a b": false} {
		h := &Health{PathPrefix: path}
		if err := h.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		if err := h.Validate(); (err == nil) != isGood {
			t.Errorf("path_prefix %q: %v", path, err)
		}
	}
}

func TestServingTellsWhetherCaddyStops(t *testing.T) {
	for isServing, want := range map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		if err := serveServing(w, isServing); err != nil {
			t.Fatal(err)
		}
		if w.Code != want || w.Body.String() != fmt.Sprintf(`{"serving":%t}`+"\n", isServing) {
			t.Errorf("%t: %d %s", isServing, w.Code, w.Body)
		}
	}
}

func TestTheCauseIsTheFirstKnownOneOfReadsBeforeWrites(t *testing.T) {
	unknown := errors.New("no answer")
	because := func(cause store.Cause) error { return &store.CausedError{Cause: cause, Err: unknown} }
	for _, c := range []struct {
		name string
		all  []store.Health
		want store.Cause
	}{
		{"none", []store.Health{{}}, ""},
		{"unknown", []store.Health{{Reads: unknown, Writes: unknown}}, ""},
		{"of writes", []store.Health{{}, {Writes: because("full")}}, "full"},
		{"of reads of a later cache", []store.Health{{Writes: because("full")}, {Reads: because("permission")}}, "permission"},
		{"of the first reads", []store.Health{{Reads: because("busy")}, {Reads: because("permission")}}, "busy"},
		{"of writes, that of reads is unknown", []store.Health{{Reads: unknown, Writes: because("full")}}, "full"},
		{"of another cache", []store.Health{{Reads: unknown}, {Reads: because("tls")}}, "tls"},
	} {
		if got := viewHealth(c.all, false).Cause; got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
