package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
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
