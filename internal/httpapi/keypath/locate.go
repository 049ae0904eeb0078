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
	NearMiss                // not below it, though Caddy's matchers say so
	Garbled                 // below it, but the key as sent cannot be told
	Collection              // the prefix itself
	Item                    // a key below it
)

// Request is what tells where a request's path lies.
type Request struct {
	Sent    *url.URL // as the client sent it
	Current *url.URL // as handlers before us have rewritten it
	Prefix  string   // the path prefix, which is empty for a mere slash
}

// Locate finds the key that the path names, as the client sent it.
//
// The prefix is compared with the escaped path. Since it holds nothing that
// needs escaping, where it matches it has the same length in the decoded
// path, and the key, percent-decoded once, can be cut out of that one.
func (r Request) Locate() (key string, where Place) {
	if isSamePath(r.Sent, r.Current) {
		return cutOrMiss(r.Current, r.Prefix)
	}
	if base, ok := r.strippedBase(); ok {
		// handle_path cleans what it strips, so that a//b would become a/b; the
		// path as sent has the key as it was sent.
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

// cutOrMiss is Cut that tells near misses from what is outside.
func cutOrMiss(u *url.URL, prefix string) (key string, where Place) {
	key, where = Cut(u, prefix)
	if where == Outside && IsNearMiss(u, prefix) {
		return "", NearMiss
	}
	return key, where
}

// Cut returns what follows the prefix in u's path. It finds neither near misses nor
// rewrites.
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

// IsNearMiss reports whether a path that is Outside would be below the prefix
// if case, repeated slashes, dot segments and escapes were ignored. Caddy's
// path matchers ignore them: passed on, such a request would mostly meet no
// other handler, and Caddy would answer it with an empty 200.
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

// clean is how Caddy cleans a path that it strips a prefix from, or compares with one
// of a matcher.
func clean(p string) string {
	cleaned := path.Clean(p)
	if cleaned != "/" && strings.HasSuffix(p, "/") {
		cleaned += "/"
	}
	return cleaned
}
