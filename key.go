package redisproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// place is where a request's path lies.
type place byte

const (
	outside    place = iota // not below the prefix
	collection              // the prefix itself
	item                    // a key below it
)

// locate finds the key that r's path names.
//
// The prefix is compared with the escaped path. Since it holds nothing that
// needs escaping, where it matches it has the same length in the decoded
// path, and the key, percent-decoded once, can be cut out of that one.
func (h *Handler) locate(r *http.Request) (key string, where place) {
	if h.prefix != "" {
		original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		if ok && h.isStripped(original.URL, r.URL) {
			// The original has the key as it was sent; handle_path cleans what
			// it strips, so that a//b would become a/b.
			return cutPrefix(original.URL, h.prefix)
		}
	}
	return cutPrefix(r.URL, h.prefix)
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

// isStripped reports whether current is original after a handler before us,
// such as that of handle_path, took the prefix away.
func (h *Handler) isStripped(original, current *url.URL) bool {
	from, to := original.Path, current.Path
	if len(from) == len(to) || !hasPathPrefix(from, h.prefix) {
		return false
	}
	return from[len(h.prefix):] == to || stripped(original, h.prefix) == to
}

// stripped returns what Caddy's rewrite handler makes of a path that has
// repeated slashes or dot segments, or nothing but the prefix.
func stripped(u *url.URL, prefix string) string {
	path := caddyhttp.CleanPath(u.EscapedPath(), true)
	if !hasPathPrefix(path, prefix) {
		return ""
	}
	path, err := url.PathUnescape(path[len(prefix):])
	if err != nil {
		return ""
	}
	rooted := url.URL{Path: "/" + strings.TrimPrefix(path, "/")}
	path, _ = url.PathUnescape(caddyhttp.CleanPath(rooted.EscapedPath(), false))
	return path
}

var errKeyEmpty = errors.New("the key is empty")

// checkKey says what is wrong with a key.
func (h *Handler) checkKey(key string) error {
	switch {
	case key == "":
		return errKeyEmpty
	case len(key) > h.maxKeySize:
		return fmt.Errorf("the key has %d bytes; max_key_size allows %d", len(key), h.maxKeySize)
	case !utf8.ValidString(key):
		return errors.New("the key is not valid UTF-8")
	case hasControl(key):
		return errors.New("the key has a control character")
	case hasDotSegment(key):
		return errors.New("the key has a . or .. segment, which clients resolve before they send a path")
	}
	return nil
}

// hasControl reports whether s, valid UTF-8, has a character of Unicode
// category Cc.
func hasControl(s string) bool {
	for _, c := range s {
		if unicode.IsControl(c) {
			return true
		}
	}
	return false
}

func hasDotSegment(path string) bool {
	if strings.IndexByte(path, '.') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// outerPath returns the escaped path that the client asked for.
func outerPath(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.EscapedPath()
	}
	return r.URL.EscapedPath()
}
