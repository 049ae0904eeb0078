package httpapi

import "net/http"

// headerValues sets headers whose values share one array. Each gets its own
// slice of it, with no room to grow into the next: Caddy's header directive
// edits slices in place, so that responses must not share any.
type headerValues struct {
	header http.Header
	values []string
}

// set takes a canonical key.
func (v *headerValues) set(key, value string) {
	n := len(v.values)
	v.values = append(v.values, value)
	v.header[key] = v.values[n : n+1 : n+1]
}

// setHeaders sets the headers of an answer with body; all but the length if
// somebody else will set that.
func (s *Server) setHeaders(header http.Header, v *representations, body *representation, status string, length bool) {
	set := headerValues{header, make([]string, 0, 8)}
	if len(header["Cache-Status"]) == 0 {
		set.set("Cache-Status", status)
	} else {
		s.addCacheStatus(header, status)
	}
	set.set("Content-Type", body.contentType)
	set.set("X-Content-Type-Options", "nosniff")
	if length {
		set.set("Content-Length", body.length)
	}
	if v.etag != "" {
		set.set("Etag", v.etag)
	}
	if s.config.CacheControl != "" {
		set.set("Cache-Control", s.config.CacheControl)
	}
	if body.isRaw && len(body.body) > countedByServer {
		// Nobody asks for a part of a small value, though it would get it.
		set.set("Accept-Ranges", "bytes")
	}
	if body.mayAct {
		// A page that a client stored must not act as the site's own.
		set.set("Content-Security-Policy", "default-src 'none'; sandbox")
	}
}

// addCacheStatus adds a member to the list: caches before us have their own
// (RFC 9211, section 2).
func (s *Server) addCacheStatus(header http.Header, status string) {
	if others := header["Cache-Status"]; len(others) > 0 {
		header["Cache-Status"] = append(others[:len(others):len(others)], status)
		return
	}
	header["Cache-Status"] = []string{status}
}
