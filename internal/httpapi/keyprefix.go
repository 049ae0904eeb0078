package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// twoPlaceholders finds two placeholders in one segment of a path.
var twoPlaceholders = regexp.MustCompile(`\}[^/{}]*\{`)

// CheckKeyPrefix checks a key_prefix whose placeholders are not replaced yet.
//
// Different values of the placeholders must give different prefixes, and no such prefix
// may begin with another one: otherwise one tenant could name the keys of another. The
// prefix must therefore end with a slash. Values contain no slash, so all prefixes of
// a template have equally many slashes, and none begins with another one. And at most
// one placeholder may stand between two slashes, so different values give different
// prefixes.
func CheckKeyPrefix(prefix string) error {
	switch {
	case strings.Count(prefix, "{") != strings.Count(prefix, "}"):
		return fmt.Errorf("%q has a placeholder without its other brace; write both", prefix)
	case strings.Contains(prefix, "{") && !strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q has a placeholder and no slash at its end; add a slash, or one value of the placeholder could give access to the keys of another value", prefix)
	case twoPlaceholders.MatchString(prefix):
		return fmt.Errorf("%q has two placeholders without a slash between them; add one, because different values could make the same prefix", prefix)
	case !utf8.ValidString(prefix):
		return errors.New("it is not valid UTF-8; save the file as UTF-8")
	case keypath.HasControl(prefix):
		return fmt.Errorf("%q has control characters; leave them out", prefix)
	case keypath.HasDotSegment(prefix):
		return fmt.Errorf("%q has . or .. segments; leave them out", prefix)
	}
	return nil
}

// LeastPrefixSize returns the least number of bytes of a key_prefix after its
// placeholders are replaced. A value has at least one byte.
func LeastPrefixSize(prefix string) int { return len(placeholder.ReplaceAllString(prefix, "x")) }

var placeholder = regexp.MustCompile(`\{([^{}]+)\}`)

// CheckTenantCaching refuses a cache_control with which a shared cache could answer one
// tenant with the value of another. Such a cache tells answers apart by their URL, and
// not always by Vary.
func CheckTenantCaching(keyPrefix, cacheControl string) error {
	if cacheControl == "" || forbidsSharing(cacheControl) {
		return nil
	}
	for _, m := range placeholder.FindAllStringSubmatch(keyPrefix, -1) {
		if !isOfURL(m[1]) {
			return fmt.Errorf("%q lets a shared cache answer one tenant with the value of another, because key_prefix has %s, which is not known to be part of the URL; add private (only browsers cache then), no-cache or no-store", cacheControl, m[0])
		}
	}
	return nil
}

// forbidsSharing reports whether a Cache-Control keeps shared caches from answering
// without asking this server. A directive with a list of fields, such as
// private="Set-Cookie", is only about these fields.
func forbidsSharing(cacheControl string) bool {
	for cacheControl != "" {
		var name string
		directive := cacheControl
		name, cacheControl = nextDirective(cacheControl)
		directive = directive[:len(directive)-len(cacheControl)]
		switch strings.ToLower(name) {
		case "private", "no-cache", "no-store":
			if !strings.Contains(directive, "=") {
				return true
			}
		}
	}
	return false
}

// isOfURL reports whether a placeholder has the same value in all requests for one URL.
func isOfURL(name string) bool {
	switch name {
	case "http.request.scheme", "http.request.host", "http.request.hostport", "http.request.port",
		"http.request.uri", "http.request.orig_uri":
		return true
	}
	return slices.ContainsFunc([]string{
		"http.request.host.labels.", "http.request.uri.", "http.request.orig_uri.", "env.", "file.", "system.",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// varyOf returns the value of Vary: the request headers in the placeholders of a
// key_prefix.
func varyOf(keyPrefix string) string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(keyPrefix, -1) {
		name, ok := strings.CutPrefix(m[1], "http.request.header.")
		if !ok && strings.HasPrefix(m[1], "http.request.cookie.") {
			name, ok = "Cookie", true
		}
		if ok && !slices.Contains(names, http.CanonicalHeaderKey(name)) {
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	return strings.Join(names, ", ")
}

// keyPrefixOf returns the key_prefix of a request, with its placeholders replaced. If one
// has no value, the request is refused: without its whole prefix it could read the keys
// of other tenants.
func (s *Server) keyPrefixOf(r *http.Request) (string, error) {
	if s.config.KeyPrefix == "" {
		return "", nil
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl.ReplaceFunc(s.config.KeyPrefix, func(name string, value any) (any, error) {
		s := caddy.ToString(value)
		switch {
		case s == "":
			return nil, badRequest("the request has no value for {%s}, which key_prefix in the configuration of redis_proxy needs", name)
		case strings.Contains(s, "/"):
			return nil, badRequest("the value of {%s}, which key_prefix in the configuration of redis_proxy needs, must not contain a slash", name)
		}
		return s, nil
	})
}

// checkFullKey checks a key, and then the key with its prefix.
func (s *Server) checkFullKey(keyPrefix, key string) error {
	if err := keypath.CheckKey(key, s.config.MaxKeySize); err != nil || keyPrefix == "" {
		return err
	}
	if err := keypath.CheckKey(keyPrefix+key, s.config.MaxKeySize); err != nil {
		return fmt.Errorf("with the prefix that key_prefix adds: %w", err)
	}
	return nil
}

// withoutPrefix returns an envelope whose key has no prefix, as clients know it. JSON
// escapes every character by itself, so the quoted key begins with the quoted prefix.
func (r *representation) withoutPrefix(keyPrefix string) *representation {
	short := *r
	cut := content.QuotedLen(keyPrefix) - len(`""`)
	short.body = make([]byte, 0, len(r.body)-cut)
	short.body = append(short.body, r.body[:len(envelopeKey)+1]...)
	short.body = append(short.body, r.body[len(envelopeKey)+1+cut:]...)
	short.length = strconv.Itoa(len(short.body))
	return &short
}
