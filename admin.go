package redisproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func init() {
	caddy.RegisterModule(AdminAPI{})
}

// adminBase is where Caddy's admin endpoint has the API.
const adminBase = "/redis_proxy"

// AdminAPI adds `/redis_proxy/` to Caddy's admin endpoint: the running caches
// with their settings and figures, their keys in eviction order, deletion by key
// and by prefix, and health checks. It needs no configuration.
type AdminAPI struct{}

// CaddyModule returns the Caddy module information.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.redis_proxy",
		New: func() caddy.Module { return new(AdminAPI) },
	}
}

// Routes implements caddy.AdminRouter.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminBase + "/", Handler: &api{base: adminBase}}}
}

// api is the admin API below a base path. It keeps no state: Caddy makes it
// before it provisions the handlers, so that every request looks for the caches
// that run by then.
type api struct{ base string }

// mostListed is the largest number of keys in one answer.
const (
	mostListed    = store.MaxBatch
	defaultListed = 100
)

// ServeHTTP implements caddy.AdminHandler. Its errors are caddy.APIErrors, and
// nothing has been written then.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Escaped, so that a slash in a key may be told from one of the path.
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), a.base+"/")
	if !ok {
		return notFound("nothing is here")
	}
	if file, ok := dashboard[path]; ok {
		return answer(w, r, byMethod{http.MethodGet: file.serve})
	}
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
		return notFound("nothing is here; the caches are at " + a.base + "/caches")
	}
	return a.serveCache(w, r, path)
}

// serveCache answers what lies below caches/.
func (a *api) serveCache(w http.ResponseWriter, r *http.Request, path string) error {
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

// cache is a running one as the API serves it.
type cache struct{ running *running.Cache }

func findCache(escapedID string) (cache, error) {
	id, err := url.PathUnescape(escapedID)
	if err != nil {
		return cache{}, badAdminRequest("the id is not percent-encoded")
	}
	for _, c := range running.Caches() {
		if c.ID() == id {
			return cache{c}, nil
		}
	}
	return cache{}, notFound("no cache has this id; caches lists those that run")
}

// eachCache calls f for all at once, since each may wait for a store of its own.
func eachCache[T any](f func(c cache) T) []T {
	all := running.Caches()
	results := make([]T, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { results[i] = f(cache{c}) })
	}
	wg.Wait()
	return results
}

func serveCaches(w http.ResponseWriter, r *http.Request) error {
	views := eachCache(func(c cache) cacheView { return c.view(r.Context()) })
	return writeJSON(w, http.StatusOK, map[string]any{"caches": views})
}

func (c cache) serve(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, c.view(r.Context()))
}

// serveKeys lists a page of keys.
func (c cache) serveKeys(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r, "order", "limit", "cursor")
	if err != nil {
		return err
	}
	order := store.Next
	switch query["order"] {
	case "", "next":
	case "valued":
		order = store.Valued
	default:
		return badAdminRequest("order is %q; expected next or valued", query["order"])
	}
	limit := defaultListed
	if text, ok := query["limit"]; ok {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > mostListed {
			return badAdminRequest("limit is %q; expected 1 to %d", text, mostListed)
		}
	}
	page, err := c.running.Engine.Page(r.Context(), store.Cursor(query["cursor"]), limit, order)
	if errors.Is(err, store.ErrCursor) {
		return badAdminRequest("cursor is not one that an answer had")
	}
	if err != nil {
		return engineError(w, err, "")
	}
	listed := pageView{Keys: make([]listedView, len(page.Entries)), Cursor: string(page.Next)}
	for i := range page.Entries {
		listed.Keys[i] = viewListed(&page.Entries[i])
	}
	return writeJSON(w, http.StatusOK, listed)
}

func (c cache) serveKey(key string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		query, err := parseQuery(r, "value_limit")
		if err != nil {
			return err
		}
		limit := math.MaxInt
		if text, ok := query["value_limit"]; ok {
			if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
				return badAdminRequest("value_limit is %q; expected a number of bytes", text)
			}
		}
		listed, err := c.running.Engine.Look(r.Context(), key)
		if err != nil {
			return engineError(w, err, "")
		}
		if listed == nil {
			return notFound("no entry has this key")
		}
		return writeJSON(w, http.StatusOK, c.viewKey(listed, limit))
	}
}

func (c cache) deleteKey(key string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		result, err := c.running.Engine.Delete(r.Context(), key, "", "")
		if err != nil {
			return engineError(w, err, "")
		}
		if result.Outcome != store.Deleted {
			return notFound("no entry has this key, nothing was deleted")
		}
		return writeJSON(w, http.StatusOK, deletedView{1})
	}
}

// deleteKeys deletes by prefix, or all. An empty prefix is not taken for all: a
// script whose variable is empty would send that.
func (c cache) deleteKeys(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r, "prefix", "confirm")
	if err != nil {
		return err
	}
	prefix, confirm := query["prefix"], query["confirm"]
	switch {
	case prefix != "" && confirm != "":
		return badAdminRequest("prefix and confirm exclude each other")
	case prefix == "" && confirm == "":
		return badAdminRequest("say what to delete: prefix=… for the keys that begin with it, confirm=… with the namespace for all")
	case prefix == "" && confirm != c.running.Namespace():
		return badAdminRequest("confirm is not the namespace of this cache, nothing was deleted")
	}
	deleted, err := c.running.Engine.DeletePrefix(r.Context(), prefix)
	if err != nil {
		return engineError(w, err, fmt.Sprintf("%d were deleted until then; repeat the request to go on", deleted))
	}
	return writeJSON(w, http.StatusOK, deletedView{deleted})
}

func (c cache) dropAllLocal(w http.ResponseWriter, _ *http.Request) error {
	c.running.Engine.DropAllLocal()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c cache) dropLocal(key string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		c.running.Engine.DropLocal(key)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func serveLive(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

// serveReady tries every store. Its answer to failure is no error, which Caddy
// would log each time that somebody looks. A store that takes no writes is ready
// all the same: else a full one would take every node out of service, which can
// still read.
func serveReady(w http.ResponseWriter, r *http.Request) error {
	ready := readyView{Ready: true, Writes: true, Caches: eachCache(func(c cache) cacheReady {
		return viewReady(c.running.ID(), c.running.Engine.Probe(r.Context()))
	})}
	status := http.StatusOK
	for _, c := range ready.Caches {
		ready.Writes = ready.Writes && c.Writes
		if !c.Ready {
			ready.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return writeJSON(w, status, ready)
}

// parseQuery reads parameters that may be there once. A parameter that nobody
// knows is an error: a mistyped name must not make another request of it.
func parseQuery(r *http.Request, known ...string) (map[string]string, error) {
	query := make(map[string]string)
	for name, value := range content.FormFields(r.URL.RawQuery) {
		_, isThere := query[name]
		switch {
		case !slices.Contains(known, name):
			return nil, badAdminRequest("unknown parameter %q; expected %s", name, strings.Join(known, ", "))
		case isThere:
			return nil, badAdminRequest("the parameter %s is there twice", name)
		case !utf8.ValidString(value):
			return nil, badAdminRequest("the parameter %s is not valid UTF-8", name)
		}
		query[name] = value
	}
	return query, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // that the client has left is no error of ours
	return nil
}

func apiError(status int, detail string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(detail)}
}

func notFound(detail string) error { return apiError(http.StatusNotFound, detail) }

func badAdminRequest(format string, args ...any) error {
	return apiError(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// engineError says what the engine could not do, and what it did before.
func engineError(w http.ResponseWriter, err error, done string) error {
	status := failureOf(err).status
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	detail := errorText(err)
	if done != "" {
		detail += "; " + done
	}
	return apiError(status, detail)
}

// errorText says what is wrong, and what to do, which an error whose cause is known
// says itself; nothing of no error.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	// The store, whose words follow, says this too.
	text := strings.TrimPrefix(err.Error(), engine.ErrUnavailable.Error()+": ")
	if errors.Is(err, engine.ErrUnavailable) && store.CauseOf(err) == "" {
		text += "; see whether it runs, and can be reached from here"
	}
	return text
}

// Interface guards
var (
	_ caddy.AdminRouter  = AdminAPI{}
	_ caddy.AdminHandler = (*api)(nil)
)
