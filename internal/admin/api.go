// Package admin has the admin API, which shows the running caches and deletes their keys. On
// sites it has the dashboard, which shows the caches, and health checks.
package admin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(API{})
}

// adminBase is where Caddy's admin endpoint has the API.
const adminBase = "/redis_proxy"

// API adds `/redis_proxy/` to Caddy's admin endpoint: the running caches
// with their settings and figures, their keys in eviction order, deletion by key
// and by prefix, and health checks. It needs no configuration.
type API struct{}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.redis_proxy",
		New: func() caddy.Module { return new(API) },
	}
}

// Routes implements caddy.AdminRouter.
func (API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminBase + "/", Handler: &handler{base: adminBase}}}
}

// handler serves the admin API below a base path. It keeps no state: Caddy makes it
// before it provisions the handlers. So every request looks up the caches that run at that
// time.
type handler struct{ base string }

// ServeHTTP implements caddy.AdminHandler. Its errors are caddy.APIErrors. If there is an
// error, the answer has not begun.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// The escaped path tells a slash in a key (%2F) from one between segments.
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), h.base+"/")
	if !ok {
		return notFound("nothing is here")
	}
	pattern, t, err := h.find(path)
	if err != nil {
		return err
	}
	return serve(w, r, pattern, t)
}

// find returns the pattern in routes that a path matches, and the things that it names.
func (h *handler) find(path string) (pattern string, t target, err error) {
	if file, ok := dashboardFiles[path]; ok {
		t.file = file
		if path == "" {
			return "", t, nil
		}
		return "{file}", t, nil
	}
	path, isOfCache := strings.CutPrefix(path, "caches/")
	if !isOfCache {
		if !hasRoute(path) {
			return "", t, notFound("nothing is here; the caches are at " + h.base + "/caches")
		}
		return path, t, nil
	}
	id, path, _ := strings.Cut(path, "/")
	if t.cache, err = findCache(id); err != nil {
		return "", t, err
	}
	if path == "" {
		return "caches/{id}", t, nil
	}
	resource, key, hasKey := strings.Cut(path, "/")
	pattern = "caches/{id}/" + resource
	if hasKey {
		pattern += "/{key}"
		if t.key, err = url.PathUnescape(key); err != nil || t.key == "" {
			return "", t, badAdminRequest("name a key after %s/, percent-encoded", resource)
		}
	}
	if !hasRoute(pattern) {
		return "", t, notFound("a cache has " + strings.Join(resources(), " and ") + ", and not " + resource)
	}
	return pattern, t, nil
}

// Interface guards
var (
	_ caddy.AdminRouter  = API{}
	_ caddy.AdminHandler = (*handler)(nil)
)
