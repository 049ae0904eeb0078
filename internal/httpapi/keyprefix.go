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

// twoPlaceholders finds the end of a placeholder and the begin of another one in
// one segment of a path.
var twoPlaceholders = regexp.MustCompile(`\}[^/{}]*\{`)

// CheckKeyPrefix looks at a key_prefix whose placeholders are not replaced yet.
//
// Of two prefixes made from one template none may begin the other, or one
// tenant could name the keys of another. With a slash at the end, and none in
// what placeholders stand for, both have equally many slashes and end with one.
// With one placeholder at most between two slashes, other values never make the
// same prefix.
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

// LeastPrefixSize returns how many bytes a key_prefix has at least, since each of its
// placeholders stands for one at least.
func LeastPrefixSize(prefix string) int { return len(placeholder.ReplaceAllString(prefix, "x")) }

var placeholder = regexp.MustCompile(`\{([^{}]+)\}`)

// CheckTenantCaching refuses to let a cache between clients and us mix tenants.
// It tells answers apart by their URL, and by Vary where it heeds that at all.
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

// forbidsSharing reports whether a Cache-Control keeps shared caches from
// answering without asking us. With a list of fields, as in private="Set-Cookie",
// it keeps them from nothing else.
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

// isOfURL reports whether a placeholder stands for the same in all requests for
// one URL.
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

// varyOf names the request headers that a key_prefix takes something from.
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

// keyPrefixOf returns what key_prefix puts before every key of a request. The
// errors are those of badRequest: a request without its whole prefix must not get to
// see the keys of others.
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

// checkFullKey says what is wrong with a key, or with it and its prefix.
func (s *Server) checkFullKey(keyPrefix, key string) error {
	if err := keypath.CheckKey(key, s.config.MaxKeySize); err != nil || keyPrefix == "" {
		return err
	}
	if err := keypath.CheckKey(keyPrefix+key, s.config.MaxKeySize); err != nil {
		return fmt.Errorf("with the prefix that key_prefix adds: %w", err)
	}
	return nil
}

// withoutPrefix returns an envelope with the key as the client knows it. The
// escapes of a JSON string are those of its characters, so that the escaped
// prefix begins the escaped key.
func (r *representation) withoutPrefix(keyPrefix string) *representation {
	short := *r
	cut := content.QuotedLen(keyPrefix) - len(`""`)
	short.body = make([]byte, 0, len(r.body)-cut)
	short.body = append(short.body, r.body[:len(envelopeKey)+1]...)
	short.body = append(short.body, r.body[len(envelopeKey)+1+cut:]...)
	short.length = strconv.Itoa(len(short.body))
	return &short
}
