package admin

import (
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
