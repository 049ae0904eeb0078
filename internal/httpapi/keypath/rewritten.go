package keypath

import (
	"net/url"
	"strings"
)

func isSamePath(a, b *url.URL) bool { return a.Path == b.Path && a.RawPath == b.RawPath }

// strippedBase returns the sent path up to the end of the prefix, if a handler such as
// handle_path stripped it. The handler may have stripped more in front of the prefix.
// Like that handler, strippedBase ignores case, repeated slashes and dot segments.
func (r Request) strippedBase() (base string, ok bool) {
	if r.Prefix == "" || len(r.Current.Path) >= len(r.Sent.Path) {
		return "", false
	}
	from, rest := clean(r.Sent.Path), clean(r.Current.Path)
	if rest == "/" && !strings.HasSuffix(from, "/") {
		rest = "" // stripping the prefix from itself leaves a slash
	}
	base, ok = strings.CutSuffix(from, rest)
	if !ok || len(base) < len(r.Prefix) || !strings.EqualFold(base[len(base)-len(r.Prefix):], r.Prefix) {
		return "", false
	}
	return base, true
}

// isKept reports whether a rewrite kept the fragile part of a path. Caddy's strips and
// replacements clean the whole path, and decode a placeholder such as {re.1} a second
// time. Without this check, a request could read or overwrite another key.
func isKept(sent, current string) bool {
	i := fragile(sent)
	return i < 0 || strings.HasSuffix(current, sent[i:])
}

// fragile returns the first index in a decoded path that a rewrite may change, or -1. A
// rewrite may clean the path, decode it again, or end it at a ? or #.
func fragile(path string) int {
	for i := range len(path) {
		switch path[i] {
		case '%', '?', '#':
			return i
		case '/':
			segment, _, _ := strings.Cut(path[i+1:], "/")
			isLast := i+1+len(segment) == len(path)
			if segment == "" && !isLast || segment == "." || segment == ".." {
				return i
			}
		}
	}
	return -1
}

// Location returns the path of a new entry as clients send it, or "" if a rewrite makes
// it unknown which path leads to the entry.
func (r Request) Location(key string, where Place) string {
	if !isSamePath(r.Sent, r.Current) {
		_, isStripped := r.strippedBase()
		switch {
		case isStripped:
		case !strings.HasSuffix(r.Sent.Path, r.Current.Path):
			return ""
		case where == Collection && fragile("/"+key) >= 0:
			return "" // see isKept
		}
	}
	path := r.Sent.EscapedPath()
	if where == Collection {
		path = strings.TrimSuffix(path, "/") + (&url.URL{Path: "/" + key}).EscapedPath()
	}
	if strings.HasPrefix(path, "//") {
		// A path that begins with // would name a host (RFC 3986, section 4.2).
		path = "/." + path
	}
	return path
}
