package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

const (
	// readHeaders are the request headers that change an answer, beside those in a
	// key_prefix. Authorization is for the handlers before this one.
	readHeaders = "Authorization, Cache-Control, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Pragma, Prefer, Range"

	// exposedHeaders are the headers of answers that a script may not read by default.
	exposedHeaders = "ETag, Location, Cache-Status, Retry-After, Allow, Content-Range, Preference-Applied"

	// preflightSeconds is the longest time that Chromium keeps the answer to a preflight.
	// Whatever is allowed no longer when the time is over gets 403 or 405 before.
	preflightSeconds = "7200"
)

// cors lets pages of trusted origins read the answers (CORS: the Fetch standard, section
// 3.2). Whether they may write is CrossOrigin's decision.
type cors struct {
	origins     map[string]bool
	credentials bool
	methods     string // that are on
	headers     string // readHeaders, and those in key_prefix
}

// newCORS returns nil if no origin is trusted.
func newCORS(c *Config) *cors {
	if len(c.TrustedOrigins) == 0 {
		return nil
	}
	allowed := &cors{origins: make(map[string]bool), credentials: c.TrustedCredentials, methods: c.Methods.allow(), headers: readHeaders}
	for _, origin := range c.TrustedOrigins {
		allowed.origins[origin] = true
	}
	for name := range strings.SplitSeq(varyOf(c.KeyPrefix), ", ") {
		if name != "" && !hasToken(readHeaders, name) {
			allowed.headers += ", " + name
		}
	}
	return allowed
}

// begin sets the headers that every answer has, whatever it will be: errors too are for
// the page to read. It removes what a header directive of the site has set: browsers refuse
// an answer that names two origins, and trusted_origins alone says who may read.
func (c *cors) begin(header http.Header, r *http.Request) {
	// A cache must not give the answer for one origin, or for none, to another one.
	addVary(header, "Origin")
	for _, name := range [...]string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
		delete(header, name)
	}
	origin, isTrusted := c.trusted(r)
	if !isTrusted {
		return
	}
	set := headerValues{header, make([]string, 0, 3)}
	set.set("Access-Control-Allow-Origin", origin)
	set.set("Access-Control-Expose-Headers", exposedHeaders)
	if c.credentials {
		set.set("Access-Control-Allow-Credentials", "true")
	}
}

// preflight adds what a browser asks before it sends the request of a page.
func (c *cors) preflight(header http.Header, r *http.Request) {
	if _, isTrusted := c.trusted(r); !isTrusted || r.Header["Access-Control-Request-Method"] == nil {
		return
	}
	addVary(header, "Access-Control-Request-Method")
	addVary(header, "Access-Control-Request-Headers")
	set := headerValues{header, make([]string, 0, 3)}
	set.set("Access-Control-Allow-Methods", c.methods)
	set.set("Access-Control-Allow-Headers", c.headers)
	set.set("Access-Control-Max-Age", preflightSeconds)
}

// trusted returns the origin of a request, and whether it is one of the trusted ones, to
// the byte.
func (c *cors) trusted(r *http.Request) (string, bool) {
	lines := r.Header["Origin"]
	if len(lines) != 1 {
		return "", false
	}
	return lines[0], c.origins[lines[0]]
}

// addVary adds a name to Vary, unless it is there.
func addVary(header http.Header, name string) {
	lines := header["Vary"]
	if slices.ContainsFunc(lines, func(line string) bool { return hasToken(line, name) || hasToken(line, "*") }) {
		return
	}
	header["Vary"] = append(lines[:len(lines):len(lines)], name)
}

// hasToken reports whether a list has a name, in any case.
func hasToken(list, name string) bool {
	for token := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(token), name) {
			return true
		}
	}
	return false
}
