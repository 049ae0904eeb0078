package httpapi

import "net/http"

// headerValues sets headers whose values share one array, to allocate once. Every header
// gets its own slice, with no capacity beyond its value: Caddy's header directive edits
// slices in place. For the same reason, responses share no slices.
type headerValues struct {
	header http.Header
	values []string
}

// set sets a header. The key must be canonical.
func (v *headerValues) set(key, value string) {
	n := len(v.values)
	v.values = append(v.values, value)
	v.header[key] = v.values[n : n+1 : n+1]
}

// policyOfValues keeps a stored page from acting as a page of the site.
const policyOfValues = "default-src 'none'; sandbox"

// setHeaders sets the headers of an answer with a body, and Content-Length if length is
// true.
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
		// Ranges work for small values too, but clients hardly ask for a part of them.
		set.set("Accept-Ranges", "bytes")
	}
	if body.mayAct {
		set.set("Content-Security-Policy", policyOfValues)
	}
}

// addCacheStatus appends a member to Cache-Status. A cache in front of this handler may
// have set its own (RFC 9211, section 2).
func (s *Server) addCacheStatus(header http.Header, status string) {
	if others := header["Cache-Status"]; len(others) > 0 {
		header["Cache-Status"] = append(others[:len(others):len(others)], status)
		return
	}
	header["Cache-Status"] = []string{status}
}
