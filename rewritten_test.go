package redisproxy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

func TestLocation(t *testing.T) {
	for _, c := range []struct {
		path, key string
		where     place
		want      string
	}{
		{"/cache", "k", collection, "/cache/k"},
		{"/", "k", collection, "/k"},
		{"/", "/k", collection, "/.//k"},
		{"//k", "/k", item, "/.//k"},
		{"/cache", "a?b#c%d e/ü;=+", collection, "/cache/a%3Fb%23c%25d%20e/%C3%BC;=+"},
		{"/cache/a%2fb", "a/b", item, "/cache/a%2fb"},
	} {
		if got := new(Handler).location(request(t, c.path), c.key, c.where); got != c.want {
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
		where               place
		location            string
	}{
		{"to a key of the query", `"uri": "/cache/byid/{http.request.uri.query.id}"`, "/get?id=7", "byid/7", item, ""},
		{"to another key", `"uri": "/cache/bb"`, "/cache/a", "bb", item, ""},
		{"to the collection", `"uri": "/cache"`, "/new", "", collection, ""},
		{"of the query alone", `"uri": "?raw"`, "/cache/a//b", "a//b", item, "/cache/a//b"},
		{"of the method alone", `"method": "PUT"`, "/cache/a//b", "a//b", item, "/cache/a//b"},
		{"to the path itself", `"uri": "{http.request.uri.path}"`, "/cache/a%2Fb//c%25", "a/b//c%", item, "/cache/a%2Fb//c%25"},
		{"with the path at the end", `"uri": "/cache/pages{http.request.uri.path}"`, "/x//y%3F", "pages/x//y?", item, ""},

		{"a part replaced", replace, "/v1/a/b", "a/b", item, ""},
		{"a part replaced, which cleans", replace, "/v1/a//b", "", garbled, ""},
		{"a part replaced, dots", replace, "/v1/x/../a", "", garbled, ""},
		{"by a regular expression", regexp, "/v1/a/b", "a/b", item, ""},
		{"by a regular expression, which does not clean", regexp, "/v1/a//b", "a//b", item, ""},
		{"by a regular expression, dots", regexp, "/v1/a/../b", "a/../b", item, ""},
		{"a suffix stripped", suffix, "/cache/a.json", "a", item, ""},
		{"a suffix stripped, which cleans", suffix, "/cache/a//b.json", "", garbled, ""},
		{"a suffix stripped, escaped dots", suffix, "/cache/x/%2e%2e/b.json", "", garbled, ""},
		{"a suffix that is not there", suffix, "/cache/a%2Fb", "a/b", item, "/cache/a%2Fb"},
		{"a suffix that is not there, which cleans", suffix, "/cache/a//b", "", garbled, ""},

		{"decoded twice", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%2541", "", garbled, ""},
		{"decoded twice, to the same number of escapes", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%252541", "", garbled, ""},
		{"decoded twice, cut at a question mark", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/a%3Fb", "", garbled, ""},
		{"decoded twice, cut at a hash", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/a%23b", "", garbled, ""},
		{"decoded twice, which changes nothing", `"uri": "/cache/{http.request.uri.path.1}"`, "/v1/%C3%A9%20+", "é +", item, ""},
		{"out of the prefix", `"uri": "/index.html"`, "/cache/a//b", "", outside, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			module, err := ctx.LoadModuleByID("http.handlers.rewrite", []byte("{"+c.rewrite+"}"))
			if err != nil {
				t.Fatal(err)
			}
			h := &Handler{prefix: "/cache"}
			r := request(t, c.path)
			module.(*rewrite.Rewrite).Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
			key, where := h.locate(r)
			if key != c.key || where != c.where {
				t.Fatalf("%s: got %q, %d, want %q, %d", r.URL, key, where, c.key, c.where)
			}
			if where < collection {
				return
			}
			if where == collection {
				key = "k"
			}
			if got := h.location(r, key, where); got != c.location {
				t.Errorf("Location is %q, want %q", got, c.location)
			}
		})
	}
}

// TestLocationBehindAStrip has keys in bodies: paths that name them come through
// the same strip.
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
		h := &Handler{prefix: "/cache"}
		if _, where := h.locate(r); where != collection {
			t.Fatalf("%s is %d", c.path, where)
		}
		got := h.location(r, c.key, collection)
		if got != c.want {
			t.Errorf("%s, %q: got %q, want %q", c.path, c.key, got, c.want)
		}
		if got == "" {
			continue
		}
		back := request(t, got)
		strip.Rewrite(back, back.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
		if key, where := h.locate(back); key != c.key || where != item {
			t.Errorf("%s leads to %q, %d", got, key, where)
		}
	}
}

// FuzzStripped lets what Caddy makes of a path never name another key quietly.
func FuzzStripped(f *testing.F) {
	for _, seed := range []string{"a", "a//b", "/a", "x/../a", "%2e%2e/a", "a%2F%2Fb//c", "%2541", "cache/a", "..//cache/a", "a/"} {
		f.Add("/api/cache/" + seed)
	}
	h := &Handler{prefix: "/cache"}
	strip := rewrite.Rewrite{StripPathPrefix: "/api"}
	f.Fuzz(func(t *testing.T, path string) {
		const base = "/api/cache/"
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), base) {
			return
		}
		r := request(t, path)
		strip.Rewrite(r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
		if key, where := h.locate(r); where == item && key != u.Path[len(base):] {
			t.Errorf("%s names %q", path, key)
		}
	})
}
