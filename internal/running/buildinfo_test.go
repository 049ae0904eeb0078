package running_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// The build has one series, however many caches there are.
func TestTheBuildIsAMetric(t *testing.T) {
	ctx := sitetest.Context(t)
	sitetest.Provision(t, ctx, sitetest.Parse(t, "namespace one"))
	sitetest.Provision(t, ctx, sitetest.Parse(t, "namespace two"))
	b := version.This()
	got := gather(t, ctx)["caddy_redis_proxy_build_info"]
	for label, want := range map[string]string{
		"version": b.Version, "revision": b.Commit, "goversion": b.Go, "caddyversion": b.Caddy,
		"layout": strconv.Itoa(b.Layout), "events": strconv.Itoa(b.Events), "export_format": strconv.Itoa(b.Export),
	} {
		if values := slices.Collect(maps.Keys(got.labels[label])); !slices.Equal(values, []string{want}) {
			t.Errorf("%s is %q, want %q", label, values, want)
		}
	}
	if got.kind != "gauge" || len(got.labels) != 7 {
		t.Errorf("it is a %s with %v", got.kind, got.labels)
	}
}
