package keypath

import (
	"net/url"
	"path"
	"strings"
)

// Place is where the path of a request lies.
type Place byte

const (
	Outside    Place = iota // not below the prefix
	NearMiss                // not below it, but Caddy's matchers match it
	Garbled                 // below it, but the key as sent is unknown
	Collection              // the prefix itself
	Item                    // a key below it
)

// Request is the path of a request, with the prefix that it may lie below.
type Request struct {
	Sent    *url.URL // as the client sent it
	Current *url.URL // as other handlers have rewritten it
	Prefix  string   // the path prefix, or "" for "/"
}

// Locate returns the key in the path as the client sent it, and where the path lies.
//
// Locate compares the prefix with the escaped path. The prefix has no character that
// needs escaping. If it matches, it has the same length in the decoded path, so the rest
// of the decoded path is the key, percent-decoded once.
func (r Request) Locate() (key string, where Place) {
	if isSamePath(r.Sent, r.Current) {
		return cutOrMiss(r.Current, r.Prefix)
	}
	if base, ok := r.strippedBase(); ok {
		// handle_path also cleans the path that it strips: a//b becomes a/b. So the key
		// is taken from the path as sent.
		if key, where = Cut(r.Sent, base); where == Outside || !strings.HasSuffix(base, r.Prefix) {
			return "", NearMiss
		}
		return key, where
	}
	key, where = cutOrMiss(r.Current, r.Prefix)
	if where >= Collection && !isKept(r.Sent.Path, r.Current.Path) {
		return "", Garbled
	}
	return key, where
}

// cutOrMiss is Cut, and also finds near misses.
func cutOrMiss(u *url.URL, prefix string) (key string, where Place) {
	key, where = Cut(u, prefix)
	if where == Outside && IsNearMiss(u, prefix) {
		return "", NearMiss
	}
	return key, where
}

// Cut returns the part of u's path after the prefix and a slash. It knows neither near
// misses nor rewrites.
func Cut(u *url.URL, prefix string) (key string, where Place) {
	sent := u.Path
	if u.RawPath != "" && !hasPathPrefix(u.EscapedPath(), prefix) || !hasPathPrefix(sent, prefix) {
		return "", Outside
	}
	if len(sent) == len(prefix) || sent == "/" {
		return "", Collection
	}
	return sent[len(prefix)+1:], Item
}

// IsNearMiss reports whether a path that is Outside would be below the prefix without
// its repeated slashes, dot segments, escapes and differences of case. Caddy's path
// matchers ignore these. If the handler passed such a request on, mostly no other handler
// would take it, and Caddy would answer with an empty 200.
func IsNearMiss(u *url.URL, prefix string) bool {
	if prefix == "" {
		return false
	}
	sent := u.Path
	if strings.Contains(sent, "//") || strings.Contains(sent, "/.") {
		sent = clean(sent)
	}
	n := len(prefix)
	return len(sent) >= n && strings.EqualFold(sent[:n], prefix) && (len(sent) == n || sent[n] == '/')
}

func hasPathPrefix(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// clean cleans a path as Caddy does before it strips a prefix or compares the path with a
// matcher.
func clean(p string) string {
	cleaned := path.Clean(p)
	if cleaned != "/" && strings.HasSuffix(p, "/") {
		cleaned += "/"
	}
	return cleaned
}
