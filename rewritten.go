package redisproxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// sentURL returns the URL as the client sent it, before handlers in front of us
// rewrote it.
func sentURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL
	}
	return r.URL
}

func isSamePath(a, b *url.URL) bool { return a.Path == b.Path && a.RawPath == b.RawPath }

// outerPath returns the escaped path that the client asked for.
func outerPath(r *http.Request) string { return sentURL(r).EscapedPath() }

// strippedBase returns the begin of the sent path up to the end of the prefix,
// if a handler such as that of handle_path took it away, with or without a
// prefix of its own before ours. Like that handler it ignores case, repeated
// slashes and dot segments.
func strippedBase(sent, current *url.URL, prefix string) (base string, ok bool) {
	if prefix == "" || len(current.Path) >= len(sent.Path) {
		return "", false
	}
	from, rest := caddyhttp.CleanPath(sent.Path, true), caddyhttp.CleanPath(current.Path, true)
	if rest == "/" && !strings.HasSuffix(from, "/") {
		rest = "" // of the prefix alone a slash is left
	}
	base, ok = strings.CutSuffix(from, rest)
	if !ok || len(base) < len(prefix) || !strings.EqualFold(base[len(base)-len(prefix):], prefix) {
		return "", false
	}
	return base, true
}

// isKept reports whether a rewrite kept what of a path it may lose. Caddy's
// strips and replacements clean the whole path, and a placeholder such as {re.1}
// is decoded a second time: other keys would be read and overwritten.
func isKept(sent, current string) bool {
	i := fragile(sent)
	return i < 0 || strings.HasSuffix(current, sent[i:])
}

// fragile returns where in a decoded path there first is what cleaning it or
// decoding it again would change or end it at, or -1.
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

// location returns the path of a new entry as the client sees it, or "" where a
// rewrite before us leaves open which path leads back to the entry.
func (h *Handler) location(r *http.Request, key string, where place) string {
	sent := sentURL(r)
	if !isSamePath(sent, r.URL) {
		_, isStripped := strippedBase(sent, r.URL, h.prefix)
		switch {
		case isStripped:
		case !strings.HasSuffix(sent.Path, r.URL.Path):
			return ""
		case where == collection && fragile("/"+key) >= 0:
			return "" // see isKept
		}
	}
	path := sent.EscapedPath()
	if where == collection {
		path = strings.TrimSuffix(path, "/") + (&url.URL{Path: "/" + key}).EscapedPath()
	}
	if strings.HasPrefix(path, "//") {
		// Else it would name a host (RFC 3986, section 4.2).
		path = "/." + path
	}
	return path
}
