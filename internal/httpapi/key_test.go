package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

func TestLocate(t *testing.T) {
	const strip = "/cache" // as handle_path /cache/* does
	for _, c := range []struct {
		name, prefix, strip, path string
		key                       string
		where                     keypath.Place
	}{
		{"a key", "/cache", "", "/cache/hello", "hello", keypath.Item},
		{"with slashes", "/cache", "", "/cache/a/b/", "a/b/", keypath.Item},
		{"with empty segments", "/cache", "", "/cache//a//b", "/a//b", keypath.Item},
		{"escaped slashes are slashes", "/cache", "", "/cache/a%2Fb%2f", "a/b/", keypath.Item},
		{"decoded once", "/cache", "", "/cache/%2541%20+", "%41 +", keypath.Item},
		{"a query is no part", "/cache", "", "/cache/a?b", "a", keypath.Item},
		{"an escaped one is", "/cache", "", "/cache/a%3Fb%23c", "a?b#c", keypath.Item},
		{"nothing after the slash", "/cache", "", "/cache/", "", keypath.Item},
		{"the collection", "/cache", "", "/cache", "", keypath.Collection},
		{"another path", "/cache", "", "/other", "", keypath.Outside},
		{"the root", "/cache", "", "/", "", keypath.Outside},
		{"a longer name", "/cache", "", "/cached/a", "", keypath.Outside},
		{"another case", "/cache", "", "/Cache/a", "", keypath.NearMiss},
		{"the prefix is literal", "/cache", "", "/c%61che/a", "", keypath.NearMiss},
		{"with its slash", "/cache", "", "/cache%2Fa", "", keypath.NearMiss},
		{"two slashes", "/cache", "", "//cache/a", "", keypath.NearMiss},
		{"two segments", "/a/b", "", "/a/b/c", "c", keypath.Item},
		{"root prefix", "/", "", "/a/b", "a/b", keypath.Item},
		{"root prefix, slash first", "/", "", "//a", "/a", keypath.Item},
		{"root prefix, its collection", "/", "", "/", "", keypath.Collection},

		{"stripped", "/cache", strip, "/cache/hello", "hello", keypath.Item},
		{"stripped, key like the prefix", "/cache", strip, "/cache/cache/a", "cache/a", keypath.Item},
		{"stripped, escaped", "/cache", strip, "/cache/a%2Fb%20%25", "a/b %", keypath.Item},
		{"stripped, empty segments", "/cache", strip, "/cache/a//b", "a//b", keypath.Item},
		{"stripped, escaped and empty segments", "/cache", strip, "/cache/a%2F%2Fb//c", "a//b//c", keypath.Item},
		{"stripped, dots", "/cache", strip, "/cache/a/../b", "a/../b", keypath.Item},
		{"stripped, escaped dots", "/cache", strip, "/cache/a/%2e%2e/b", "a/../b", keypath.Item},
		{"stripped, nothing left", "/cache", strip, "/cache/", "", keypath.Item},
		{"stripped, the collection", "/cache", strip, "/cache", "", keypath.Collection},
		{"stripped, a longer name", "/cache", strip, "/cached", "", keypath.Outside},
		{"stripped, another case", "/cache", strip, "/Cache/a", "", keypath.NearMiss},
		{"stripped, an escape in the prefix", "/cache", strip, "/c%61che/a", "", keypath.NearMiss},
		{"stripped, two slashes before the prefix", "/cache", strip, "//cache/a", "", keypath.NearMiss},
		{"stripped, with one before it", "/cache", "/api /cache", "/api/cache/a", "a", keypath.Item},
		{"stripped, with one before it, empty segments", "/cache", "/api /cache", "/api/cache/a//b", "a//b", keypath.Item},
		{"stripped, with one before it, first", "/cache", "/api /cache", "/api/cache//a", "/a", keypath.Item},
		{"stripped, with one before it, key like the prefix", "/cache", "/api /cache", "/api/cache/cache/a", "cache/a", keypath.Item},
		{"stripped, with one before it, the collection", "/cache", "/api /cache", "/api/cache", "", keypath.Collection},
		{"stripped, with one before it, in another case", "/cache", "/api /cache", "/API/cache/a", "a", keypath.Item},
		{"stripped, with one before it, and ours too", "/cache", "/api /cache", "/API/Cache/a", "", keypath.NearMiss},
		{"stripped, with one before it, at once", "/cache", "/api/cache", "/api/cache/a//b", "a//b", keypath.Item},

		{"an outer prefix", "/cache", "/api", "/api/cache/a", "a", keypath.Item},
		{"an outer prefix in another case", "/cache", "/api", "/API/cache/a", "a", keypath.Item},
		{"an outer prefix, escaped slashes", "/cache", "/api", "/api/cache/a%2F%2Fb", "a//b", keypath.Item},
		{"an outer prefix, a slash at the end", "/cache", "/api", "/api/cache/a/", "a/", keypath.Item},
		{"an outer prefix, specials", "/cache", "/api", "/api/cache/%25%3F%23", "%?#", keypath.Item},
		{"an outer prefix, empty segments", "/cache", "/api", "/api/cache/a//b", "", keypath.Garbled},
		{"an outer prefix, an empty segment first", "/cache", "/api", "/api/cache//a", "", keypath.Garbled},
		{"an outer prefix, an empty segment before ours", "/cache", "/api", "/api//cache/a", "", keypath.Garbled},
		{"an outer prefix, an empty segment at the end", "/cache", "/api", "/api/cache/a//", "", keypath.Garbled},
		{"an outer prefix, escaped and empty segments", "/cache", "/api", "/api/cache/a//b%2F%2Fc", "", keypath.Garbled},
		{"an outer prefix, dots", "/cache", "/api", "/api/cache/x/../a", "", keypath.Garbled},
		{"an outer prefix, a dot", "/cache", "/api", "/api/cache/./a", "", keypath.Garbled},
		{"an outer prefix, escaped dots", "/cache", "/api", "/api/cache/x/%2e%2E/a", "", keypath.Garbled},
		{"an outer prefix, dots and ours again", "/cache", "/api", "/api/cache/..//cache/a", "", keypath.Garbled},
		{"an outer prefix, dots at the end", "/cache", "/api", "/api/cache/a/..", "", keypath.Garbled},
		{"an outer prefix, empty segments outside", "/cache", "/api", "/api/a//b", "", keypath.Outside},
		{"an outer prefix, root, empty segments", "/", "/api", "/api/a//b", "", keypath.Garbled},
		{"an outer prefix alone", "/cache", "/api", "/api/a", "", keypath.Outside},
		{"an outer prefix, root", "/", "/api", "/api/a", "a", keypath.Item},
		{"an outer prefix, root, like it", "/", "/api", "/api/api/a", "api/a", keypath.Item},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(Config{PathPrefix: c.prefix})
			r := request(t, c.path)
			for _, prefix := range strings.Fields(c.strip) {
				stripPrefix := rewrite.Rewrite{StripPathPrefix: prefix}
				stripPrefix.Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
			}
			if key, where := s.Locate(r); key != c.key || where != c.where {
				t.Errorf("got %q, %d, want %q, %d", key, where, c.key, c.where)
			}
		})
	}
}

// request returns a request for a path, as Caddy's server makes it.
func request(t testing.TB, path string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.URL, r.RequestURI = u, path
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
}
