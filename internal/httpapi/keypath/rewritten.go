package keypath

import (
	"net/url"
	"strings"
)

func isSamePath(a, b *url.URL) bool { return a.Path == b.Path && a.RawPath == b.RawPath }

// strippedBase returns the begin of the sent path up to the end of the prefix,
// if a handler such as that of handle_path took it away, with or without a
// prefix of its own before ours. Like that handler it ignores case, repeated
// slashes and dot segments.
func (r Request) strippedBase() (base string, ok bool) {
	if r.Prefix == "" || len(r.Current.Path) >= len(r.Sent.Path) {
		return "", false
	}
	from, rest := clean(r.Sent.Path), clean(r.Current.Path)
	if rest == "/" && !strings.HasSuffix(from, "/") {
		rest = "" // of the prefix alone a slash is left
	}
	base, ok = strings.CutSuffix(from, rest)
	if !ok || len(base) < len(r.Prefix) || !strings.EqualFold(base[len(base)-len(r.Prefix):], r.Prefix) {
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

// Location returns the path of a new entry as the client sees it, or "" where a
// rewrite before us leaves open which path leads back to the entry.
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
		// Else it would name a host (RFC 3986, section 4.2).
		path = "/." + path
	}
	return path
}
