package httpapi

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

func TestLocation(t *testing.T) {
	for _, c := range []struct {
		path, key string
		where     keypath.Place
		want      string
	}{
		{"/cache", "k", keypath.Collection, "/cache/k"},
		{"/", "k", keypath.Collection, "/k"},
		{"/", "/k", keypath.Collection, "/.//k"},
		{"//k", "/k", keypath.Item, "/.//k"},
		{"/cache", "a?b#c%d e/ü;=+", keypath.Collection, "/cache/a%3Fb%23c%25d%20e/%C3%BC;=+"},
		{"/cache/a%2fb", "a/b", keypath.Item, "/cache/a%2fb"},
	} {
		if got := new(Server).pathOf(request(t, c.path)).Location(c.key, c.where); got != c.want {
			t.Errorf("%s, %q: got %s, want %s", c.path, c.key, got, c.want)
		}
	}
}

// TestRewrites sends paths through the rewrites of Caddy.
func TestRewrites(t *testing.T) {
	replace := `"uri_substring": [{"find": "/v1/", "replace": "/cache/"}]`
	regexp := `"path_regexp": [{"find": "^/v1/", "replace": "/cache/"}]`
	suffix := `"strip_path_suffix": ".json"`
	for _, c := range []struct {
		name, rewrite, path string
		key                 string
		where               keypath.Place
		location            string
	}{
		{"to a key of the query", `"uri": "/cache/byid/{http.request.uri.query.id}"`, "/get?id=7", "byid/7", keypath.Item, ""},
		{"to another key", `"uri": "/cache/bb"`, "/cache/a", "bb", keypath.Item, ""},
		{"to the collection", `"uri": "/cache"`, "/new", "", keypath.Collection, ""},
		{"of the query alone", `"uri": "?raw"`, "/cache/a//b", "a//b", keypath.Item, "/cache/a//b"},
		{"of the method alone", `"method": "PUT"`, "/cache/a//b", "a//b", keypath.Item, "/cache/a//b"},
		{"to the path itself", `"uri": "{http.request.uri.path}"`, "/cache/a%2Fb//c%25", "a/b//c%", keypath.Item, "/cache/a%2Fb//c%25"},
		{"with the path at the end", `"uri": "/cache/pages{http.request.uri.path}"`, "/x//y%3F", "pages/x//y?", keypath.Item, ""},

		{"a part replaced", replace, "/v1/a/b", "a/b", keypath.Item, ""},
		{"a part replaced, which cleans", replace, "/v1/a//b", "", keypath.Garbled, ""},
		{"a part replaced, dots", replace, "/v1/x/../a", "", keypath.Garbled, ""},
		{"by a regular expression", regexp, "/v1/a/b", "a/b", keypath.Item, ""},
		{"by a regular expression, which does not clean", regexp, "/v1/a//b", "a//b", keypath.Item, ""},
		{"by a regular expression, dots", regexp, "/v1/a/../b", "a/../b", keypath.Item, ""},
		{"a suffix stripped", suffix, "/cache/a.json", "a", keypath.Item, ""},
		{"a suffix stripped, which cleans", suffix, "/cache/a//b.json", "", keypath.Garbled, ""},
		{"a suffix stripped, escaped dots", suffix, "/cache/x/%2e%2e/b.json", "", keypath.Garbled, ""},
		{"a suffix that is not there", suffix, "/cache/a%2Fb", "a/b", keypath.Item, "/cache/a%2Fb"},
		{"a suffix that is not there, which cleans", suffix, "/cache/a//b", "", keypath.Garbled, ""},

		{"decoded twice", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%2541", "", keypath.Garbled, ""},
		{"decoded twice, to the same number of escapes", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%252541", "", keypath.Garbled, ""},
		{"decoded twice, cut at a question mark", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/a%3Fb", "", keypath.Garbled, ""},
		{"decoded twice, cut at a hash", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/a%23b", "", keypath.Garbled, ""},
		{"decoded twice, which changes nothing", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%C3%A9%20+", "é +", keypath.Item, ""},
		{"out of the prefix", `"uri": "/index.html"`, "/cache/a//b", "", keypath.Outside, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			module, err := ctx.LoadModuleByID("http.handlers.rewrite", []byte("{"+c.rewrite+"}"))
			if err != nil {
				t.Fatal(err)
			}
			s := New(Config{PathPrefix: "/cache"})
			r := request(t, c.path)
			module.(*rewrite.Rewrite).Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
			key, where := s.Locate(r)
			if key != c.key || where != c.where {
				t.Fatalf("%s: got %q, %d, want %q, %d", r.URL, key, where, c.key, c.where)
			}
			if where < keypath.Collection {
				return
			}
			if where == keypath.Collection {
				key = "k"
			}
			if got := s.pathOf(r).Location(key, where); got != c.location {
				t.Errorf("Location is %q, want %q", got, c.location)
			}
		})
	}
}

// TestLocationBehindAStrip creates entries with the key in the body. The path in Location
// must lead to the key through the same strip.
func TestLocationBehindAStrip(t *testing.T) {
	for _, c := range []struct{ strip, path, key, want string }{
		{"/cache", "/cache", "k", "/cache/k"},
		{"/cache", "/cache", "p//q", "/cache/p//q"},
		{"/api", "/api/cache", "k", "/api/cache/k"},
		{"/api", "/API/cache", "a b/c", "/API/cache/a%20b/c"},
		{"/api", "/api/cache", "p//q", ""},
		{"/api", "/api/cache", "/p", ""},
		{"/api", "/api/cache", "p/", "/api/cache/p/"},
		{"/api", "/api/cache", "50%", ""},
	} {
		r := request(t, c.path)
		strip := rewrite.Rewrite{StripPathPrefix: c.strip}
		strip.Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
		s := New(Config{PathPrefix: "/cache"})
		if _, where := s.Locate(r); where != keypath.Collection {
			t.Fatalf("%s is %d", c.path, where)
		}
		got := s.pathOf(r).Location(c.key, keypath.Collection)
		if got != c.want {
			t.Errorf("%s, %q: got %q, want %q", c.path, c.key, got, c.want)
		}
		if got == "" {
			continue
		}
		back := request(t, got)
		strip.Rewrite(back, back.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
		if key, where := s.Locate(back); key != c.key || where != keypath.Item {
			t.Errorf("%s leads to %q, %d", got, key, where)
		}
	}
}

// FuzzStripped checks that a path which Caddy has changed never names another key.
func FuzzStripped(f *testing.F) {
	for _, seed := range []string{"a", "a//b", "/a", "x/../a", "%2e%2e/a", "a%2F%2Fb//c", "%2541", "cache/a", "..//cache/a", "a/"} {
		f.Add("/api/cache/" + seed)
	}
	s := New(Config{PathPrefix: "/cache"})
	strip := rewrite.Rewrite{StripPathPrefix: "/api"}
	f.Fuzz(func(t *testing.T, path string) {
		const base = "/api/cache/"
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), base) {
			return
		}
		r := request(t, path)
		strip.Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
		if key, where := s.Locate(r); where == keypath.Item && key != u.Path[len(base):] {
			t.Errorf("%s names %q", path, key)
		}
	})
}
