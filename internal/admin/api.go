// Package admin shows the running caches and deletes their keys: on the admin endpoint of
// Caddy, and on a page of a site.
package admin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
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
// before it provisions the handlers, so that every request looks for the caches
// that run by then.
type handler struct{ base string }

// mostListed is the largest number of keys in one answer.
const (
	mostListed    = store.MaxBatch
	defaultListed = 100
)

// ServeHTTP implements caddy.AdminHandler. Its errors are caddy.APIErrors, and
// nothing has been written then.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Escaped, so that a slash in a key may be told from one of the path.
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), h.base+"/")
	if !ok {
		return notFound("nothing is here")
	}
	if file, ok := dashboardFiles[path]; ok {
		return answer(w, r, byMethod{http.MethodGet: file.serve})
	}
	// NOTE: a GET here is also one of redis_proxy_dashboard, on a site that may be public.
	switch path {
	case "live":
		return answer(w, r, byMethod{http.MethodGet: serveLive})
	case "ready":
		return answer(w, r, byMethod{http.MethodGet: serveReady})
	case "caches":
		return answer(w, r, byMethod{http.MethodGet: serveCaches})
	}
	path, ok = strings.CutPrefix(path, "caches/")
	if !ok {
		return notFound("nothing is here; the caches are at " + h.base + "/caches")
	}
	return h.serveCache(w, r, path)
}

// serveCache answers what lies below caches/.
func (h *handler) serveCache(w http.ResponseWriter, r *http.Request, path string) error {
	id, path, _ := strings.Cut(path, "/")
	c, err := findCache(id)
	if err != nil {
		return err
	}
	resource, key, hasKey := strings.Cut(path, "/")
	if hasKey {
		if key, err = url.PathUnescape(key); err != nil || key == "" {
			return badAdminRequest("name a key after %s/, percent-encoded", resource)
		}
	}
	switch {
	case path == "":
		return answer(w, r, byMethod{http.MethodGet: c.serve})
	case resource == "keys" && !hasKey:
		return answer(w, r, byMethod{http.MethodGet: c.serveKeys, http.MethodDelete: c.deleteKeys})
	case resource == "keys":
		return answer(w, r, byMethod{http.MethodGet: c.serveKey(key), http.MethodDelete: c.deleteKey(key)})
	case resource == "local" && !hasKey:
		return answer(w, r, byMethod{http.MethodDelete: c.dropAllLocal})
	case resource == "local":
		return answer(w, r, byMethod{http.MethodDelete: c.dropLocal(key)})
	}
	return notFound("a cache has keys and local, and not " + resource)
}

// byMethod is what a path answers.
type byMethod map[string]func(http.ResponseWriter, *http.Request) error

// answer serves the methods that a path has, HEAD where it has GET, and OPTIONS.
func answer(w http.ResponseWriter, r *http.Request, by byMethod) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if serve, ok := by[method]; ok {
		return serve(w, r)
	}
	var allow []string
	for _, name := range []string{http.MethodGet, http.MethodDelete} {
		if by[name] == nil {
			continue
		}
		allow = append(allow, name)
		if name == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	w.Header().Set("Allow", strings.Join(append(allow, http.MethodOptions), ", "))
	if method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return apiError(http.StatusMethodNotAllowed, r.Method+" is not supported here; use a method that Allow lists")
}

// Interface guards
var (
	_ caddy.AdminRouter  = API{}
	_ caddy.AdminHandler = (*handler)(nil)
)
