package redisproxy

import (
	"strings"
	"testing"
)

func TestBadDashboards(t *testing.T) {
	for _, c := range []struct{ name, directive, want string }{
		{"an argument", "redis_proxy_dashboard now", `redis_proxy_dashboard takes no argument 'now' beside a matcher; put path_prefix into a block, at Caddyfile:2`},
		{"unknown", "redis_proxy_dashboard {\n\tnamespace a\n}", `there is no subdirective 'namespace'; known: path_prefix, at Caddyfile:3`},
		{"twice", "redis_proxy_dashboard {\n\tpath_prefix /a\n\tpath_prefix /a\n}", "path_prefix: it is already specified; write it once, at Caddyfile:4"},
		{"no path", "redis_proxy_dashboard {\n\tpath_prefix\n}", "path_prefix: its value is missing; "},
		{"two paths", "redis_proxy_dashboard {\n\tpath_prefix /a /b\n}", "path_prefix: takes one value, and there are 2; put one that has spaces in double quotes, at Caddyfile:3"},
		{"a slash at the end", "redis_proxy_dashboard {\n\tpath_prefix /a/\n}", `path_prefix: "/a/" must not end with a slash; leave it out, at Caddyfile:3`},
		{"a matcher of one path", "redis_proxy_dashboard /ops", "the matcher /ops meets no key"},
		{"a matcher that never meets", "redis_proxy_dashboard /ops/* {\n\tpath_prefix /b\n}", "path_prefix /b can never be met by the matcher /ops/*, at Caddyfile:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt(t, ":8080 {\n"+c.directive+"\n}\n")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestDashboardChecksItsPath(t *testing.T) {
	for path, isGood := range map[string]bool{"": true, "/": true, "/ops": true, "ops": false, "/ops/": false, "/a b": false} {
		d := &Dashboard{PathPrefix: path}
		if err := d.Provision(newContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); (err == nil) != isGood {
			t.Errorf("path_prefix %q: %v", path, err)
		}
	}
}
