package admin

import (
	"net/http"
	"slices"
	"strings"
)

// route is a method of a path, relative to the base of the API.
type route struct {
	method, pattern string
	serve           func(w http.ResponseWriter, r *http.Request, t target) error
}

// target has the things that a path names; the others are empty.
type target struct {
	cache cache
	key   string
	file  dashboardFile
}

// routes are all that the API answers. HEAD comes with GET, and OPTIONS with every path.
//
// NOTE: redis_proxy_dashboard serves the GETs too, on sites that may be public.
var routes = []route{
	{http.MethodGet, "", serveFile},
	{http.MethodGet, "{file}", serveFile},
	{http.MethodGet, "live", serveLive},
	{http.MethodGet, "ready", serveReady},
	{http.MethodGet, "caches", serveCaches},
	{http.MethodGet, "caches/{id}", serveCache},
	{http.MethodGet, "caches/{id}/keys", serveKeys},
	{http.MethodDelete, "caches/{id}/keys", deleteKeys},
	{http.MethodGet, "caches/{id}/keys/{key}", serveKey},
	{http.MethodDelete, "caches/{id}/keys/{key}", deleteKey},
	{http.MethodDelete, "caches/{id}/local", dropAllLocal},
	{http.MethodDelete, "caches/{id}/local/{key}", dropLocal},
}

func hasRoute(pattern string) bool {
	return slices.ContainsFunc(routes, func(r route) bool { return r.pattern == pattern })
}

// resources returns the names in the paths below a cache.
func resources() (names []string) {
	for _, r := range routes {
		name, ok := strings.CutPrefix(r.pattern, "caches/{id}/")
		if ok && !strings.Contains(name, "/") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// serve answers a request to a path that matches a pattern in routes.
func serve(w http.ResponseWriter, r *http.Request, pattern string, t target) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allow []string
	for _, route := range routes {
		if route.pattern != pattern {
			continue
		}
		if route.method == method {
			return route.serve(w, r, t)
		}
		allow = append(allow, route.method)
		if route.method == http.MethodGet {
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
