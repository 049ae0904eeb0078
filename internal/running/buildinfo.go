package running

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// newBuildInfo returns the metric of this build. It belongs to the process, so it has no
// labels of a cache.
func newBuildInfo() prometheus.Collector {
	b := version.This()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_redis_proxy_build_info",
		Help: "1, with the version of redis_proxy and of its formats as labels.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Commit, "goversion": b.Go, "caddyversion": b.Caddy,
			"layout": strconv.Itoa(b.Layout), "events": strconv.Itoa(b.Events), "export_format": strconv.Itoa(b.Export),
		},
	}, func() float64 { return 1 })
}

// registerShared registers a collector that several handlers or caches of a configuration
// share.
func registerShared(r *prometheus.Registry, c prometheus.Collector) error {
	err := r.Register(c)
	if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		return nil
	}
	return err
}
