package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

func init() { caddy.RegisterModule(Health{}) }

// Health answers health checks of load balancers and supervisors, over the listener that
// clients use:
//
//   - GET `/ready`: 200 if every cache of this Caddy process answers reads, else 503. It is
//     503 too while Caddy waits for its `shutdown_delay`, and if there is no cache.
//   - GET `/serving`: 200 until Caddy is about to stop, then 503, as above. It asks no store.
//     Load balancers ask here if nodes can answer without their store, or if all nodes would
//     lose it together.
//   - GET `/live`: 200 while the process answers at all, also while it waits to stop. It asks
//     no store. Supervisors ask here.
//
// HEAD works like GET, and other methods are answered with 405. Requests to other paths go
// to the next handler.
//
// The answers are safe in public: they have no address, no name, no credentials, and no
// words of Redis. All callers share one check of a store, and reuse its answer for a
// second.
type Health struct {
	// The path in front of `/ready`, `/serving` and `/live`, literal and case-sensitive. Default: `/`,
	// or the path of an inline matcher in a Caddyfile.
	PathPrefix string `json:"path_prefix,omitempty"`

	prefix string // PathPrefix, or "" for "/"
}

// CaddyModule returns the Caddy module information.
func (Health) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.redis_proxy_health",
		New: func() caddy.Module { return new(Health) },
	}
}

// Provision sets the default.
func (h *Health) Provision(caddy.Context) error {
	if h.PathPrefix == "" {
		h.PathPrefix = "/"
	}
	h.prefix = strings.TrimSuffix(h.PathPrefix, "/")
	return nil
}

// Validate checks the path.
func (h *Health) Validate() error {
	if err := keypath.CheckPathPrefix(h.PathPrefix); err != nil {
		return fmt.Errorf("path_prefix: %w", err)
	}
	return nil
}

// ServeHTTP answers health checks, and passes other requests on.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	name, where := keypath.Cut(r.URL, h.prefix)
	if where == keypath.Outside || name != "ready" && name != "serving" && name != "live" {
		return next.ServeHTTP(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, errors.New("health checks only read; use GET or HEAD"))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Not the placeholder http.shutting_down: it is true too on a server that loses an address
	// in a reload, and its process goes on.
	isShuttingDown := caddy.Exiting()
	switch name {
	case "live":
		return serveLive(w, r, target{})
	case "serving":
		return serveServing(w, !isShuttingDown)
	}
	view := viewHealth(eachCache(func(c cache) store.Health { return c.running.Health(r.Context()) }), isShuttingDown)
	status := http.StatusOK
	if !view.Ready {
		// Not an error for Caddy, which would log it for each check.
		status = http.StatusServiceUnavailable
	}
	return writeJSON(w, status, view)
}

// serveServing asks no store, so a node leaves its load balancer only when it stops.
func serveServing(w http.ResponseWriter, isServing bool) error {
	status := http.StatusOK
	if !isServing {
		status = http.StatusServiceUnavailable
	}
	return writeJSON(w, status, map[string]bool{"serving": isServing})
}

// healthView is what strangers may know of all caches together. Cause is the first known one,
// of reads before writes.
type healthView struct {
	Ready        bool        `json:"ready"`
	Writes       bool        `json:"writes"`
	Caches       int         `json:"caches"`
	Cause        store.Cause `json:"cause"`
	ShuttingDown bool        `json:"shutting_down"`
}

// viewHealth is not ready without a cache: a node that serves none should get no requests
// for one, and the mistake shows.
func viewHealth(all []store.Health, isShuttingDown bool) healthView {
	v := healthView{Ready: len(all) > 0 && !isShuttingDown, Writes: len(all) > 0, Caches: len(all), ShuttingDown: isShuttingDown}
	var ofReads, ofWrites store.Cause
	for _, health := range all {
		if health.Reads != nil {
			v.Ready, ofReads = false, cmp.Or(ofReads, store.CauseOf(health.Reads))
		}
		if health.Writes != nil {
			v.Writes, ofWrites = false, cmp.Or(ofWrites, store.CauseOf(health.Writes))
		}
	}
	v.Cause = cmp.Or(ofReads, ofWrites)
	return v
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Health)(nil)
	_ caddy.Validator             = (*Health)(nil)
	_ caddyhttp.MiddlewareHandler = (*Health)(nil)
)
