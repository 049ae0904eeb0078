package admin

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestDashboardChecksItsPath(t *testing.T) {
	for path, isGood := range map[string]bool{"": true, "/": true, "/ops": true, "ops": false, "/ops/": false, "/a b": false} {
		d := &Dashboard{PathPrefix: path}
		if err := d.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); (err == nil) != isGood {
			t.Errorf("path_prefix %q: %v", path, err)
		}
	}
}
