package redisproxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// place is where a request's path lies.
type place byte

const (
	outside    place = iota // not below the prefix
	nearMiss                // not below it, though Caddy's matchers say so
	garbled                 // below it, but the key as sent cannot be told
	collection              // the prefix itself
	item                    // a key below it
)

// locate finds the key that r's path names, as the client sent it.
//
// The prefix is compared with the escaped path. Since it holds nothing that
// needs escaping, where it matches it has the same length in the decoded
// path, and the key, percent-decoded once, can be cut out of that one.
func (h *Handler) locate(r *http.Request) (key string, where place) {
	sent := sentURL(r)
	if isSamePath(sent, r.URL) {
		return cutOrMiss(r.URL, h.prefix)
	}
	if base, ok := strippedBase(sent, r.URL, h.prefix); ok {
		// handle_path cleans what it strips, so that a//b would become a/b; the
		// path as sent has the key as it was sent.
		if key, where = cutPrefix(sent, base); where == outside || !strings.HasSuffix(base, h.prefix) {
			return "", nearMiss
		}
		return key, where
	}
	key, where = cutOrMiss(r.URL, h.prefix)
	if where >= collection && !isKept(sent.Path, r.URL.Path) {
		return "", garbled
	}
	return key, where
}

// cutOrMiss is cutPrefix that tells near misses from what is outside.
func cutOrMiss(u *url.URL, prefix string) (key string, where place) {
	key, where = cutPrefix(u, prefix)
	if where == outside && isNearMiss(u, prefix) {
		return "", nearMiss
	}
	return key, where
}

// cutPrefix returns what follows the prefix in u's path.
func cutPrefix(u *url.URL, prefix string) (key string, where place) {
	path := u.Path
	if u.RawPath != "" && !hasPathPrefix(u.EscapedPath(), prefix) || !hasPathPrefix(path, prefix) {
		return "", outside
	}
	if len(path) == len(prefix) || path == "/" {
		return "", collection
	}
	return path[len(prefix)+1:], item
}

// isNearMiss reports whether a path that is outside would be below the prefix
// if case, repeated slashes, dot segments and escapes were ignored. Caddy's
// path matchers ignore them: passed on, such a request would mostly meet no
// other handler, and Caddy would answer it with an empty 200.
func isNearMiss(u *url.URL, prefix string) bool {
	if prefix == "" {
		return false
	}
	path := u.Path
	if strings.Contains(path, "//") || strings.Contains(path, "/.") {
		path = caddyhttp.CleanPath(path, true)
	}
	n := len(prefix)
	return len(path) >= n && strings.EqualFold(path[:n], prefix) && (len(path) == n || path[n] == '/')
}

func hasPathPrefix(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}
