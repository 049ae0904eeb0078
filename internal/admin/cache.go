package admin

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// cache is a running cache as the API serves it.
type cache struct{ running *running.Cache }

// findCache returns the cache of an id, or else the only one of a namespace.
func findCache(escapedName string) (cache, error) {
	name, err := url.PathUnescape(escapedName)
	if err != nil {
		return cache{}, badAdminRequest("the id is not percent-encoded")
	}
	var found []*running.Cache
	var ids []string
	for _, c := range running.Caches() {
		switch name {
		case c.ID():
			return cache{c}, nil
		case c.Namespace():
			found, ids = append(found, c), append(ids, c.ID())
		}
	}
	switch len(found) {
	case 0:
		return cache{}, notFound("no cache has this id or namespace; caches lists those that run")
	case 1:
		return cache{found[0]}, nil
	default: // not 404, from which a script may conclude that a key is gone
		return cache{}, apiError(http.StatusConflict, "several caches have this namespace; name one by its id: "+strings.Join(ids, ", "))
	}
}

// eachCache calls f for all caches at the same time, because each may wait for another store.
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

func serveCaches(w http.ResponseWriter, r *http.Request, _ target) error {
	views := eachCache(func(c cache) cacheView { return c.view(r.Context()) })
	return writeJSON(w, http.StatusOK, cachesView{views, version.This()})
}

func serveCache(w http.ResponseWriter, r *http.Request, t target) error {
	return writeJSON(w, http.StatusOK, t.cache.view(r.Context()))
}

// mostListed is the largest number of keys in one answer.
const (
	mostListed    = store.MaxBatch
	defaultListed = 100
)

// serveKeys lists a page of keys.
func serveKeys(w http.ResponseWriter, r *http.Request, t target) error {
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
	page, err := t.cache.running.Engine.Page(r.Context(), store.Cursor(query["cursor"]), limit, order)
	if errors.Is(err, store.ErrCursor) {
		return badAdminRequest("cursor does not come from an answer")
	}
	if err != nil {
		return engineError(w, err, "")
	}
	listed := keysView{Keys: make([]listedView, len(page.Entries)), Cursor: string(page.Next)}
	for i := range page.Entries {
		listed.Keys[i] = viewListed(&page.Entries[i])
	}
	return writeJSON(w, http.StatusOK, listed)
}

func serveKey(w http.ResponseWriter, r *http.Request, t target) error {
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
	listed, err := t.cache.running.Engine.Look(r.Context(), t.key)
	if err != nil {
		return engineError(w, err, "")
	}
	if listed == nil {
		return notFound("no entry has this key")
	}
	return writeJSON(w, http.StatusOK, t.cache.viewKey(listed, limit))
}

func deleteKey(w http.ResponseWriter, r *http.Request, t target) error {
	result, err := t.cache.running.Engine.Write(r.Context(), store.Write{Op: store.Delete, Key: t.key})
	if err != nil {
		return engineError(w, err, "")
	}
	if result.Outcome != store.Deleted {
		return notFound("no entry has this key, nothing was deleted")
	}
	return writeJSON(w, http.StatusOK, deletedView{1})
}

// deleteKeys deletes the keys with a prefix, or all keys. An empty prefix does not mean all
// keys: a script with an empty variable would send one.
func deleteKeys(w http.ResponseWriter, r *http.Request, t target) error {
	query, err := parseQuery(r, "prefix", "confirm")
	if err != nil {
		return err
	}
	prefix, confirm := query["prefix"], query["confirm"]
	switch {
	case prefix != "" && confirm != "":
		return badAdminRequest("prefix and confirm cannot be combined; give one of them")
	case prefix == "" && confirm == "":
		return badAdminRequest("say what to delete: prefix=… for the keys that begin with it, confirm=… with the namespace for all")
	case prefix == "" && confirm != t.cache.running.Namespace():
		return badAdminRequest("confirm is not the namespace of this cache, nothing was deleted")
	}
	deleted, err := t.cache.running.Engine.DeletePrefix(r.Context(), prefix)
	if err != nil {
		return engineError(w, err, fmt.Sprintf("%d keys were deleted; repeat the request to go on", deleted))
	}
	return writeJSON(w, http.StatusOK, deletedView{deleted})
}

func dropAllLocal(w http.ResponseWriter, _ *http.Request, t target) error {
	t.cache.running.Engine.DropAllLocal()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func dropLocal(w http.ResponseWriter, _ *http.Request, t target) error {
	t.cache.running.Engine.DropLocal(t.key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
