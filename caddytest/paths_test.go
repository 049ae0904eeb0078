package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPaths sends requests through every way to put the handler on a path.
func TestPaths(t *testing.T) {
	for _, c := range []struct {
		name, site string
		base       string // where keys are
		collection bool   // POST {base} reaches the handler
		others     string // the answer to requests outside base
	}{
		{"the directive alone", "redis_proxy", "/cache", true, ""},
		{"an inline matcher", "redis_proxy /kv/*", "/kv", true, ""},
		{"an inline matcher without the slash", "redis_proxy /kv*", "/kv", true, ""},
		{"a named matcher", "@kv path /kv /kv/*\nredis_proxy @kv {\npath_prefix /kv\n}", "/kv", true, ""},
		{"everything", "redis_proxy {\npath_prefix /\n}", "", true, "-"},
		{"handle", "handle /cache/* {\nredis_proxy\n}", "/cache", false, ""},
		{"handle without the slash", "handle /cache* {\nredis_proxy\n}", "/cache", true, ""},
		{"handle and a catch-all beside", "handle /cache/* {\nredis_proxy\n}\nhandle {\nrespond \"catch-all\"\n}", "/cache", false, "catch-all"},
		{"handle of both paths", "@cache path /cache /cache/*\nhandle @cache {\nredis_proxy\n}\nhandle {\nrespond \"catch-all\"\n}", "/cache", true, "catch-all"},
		{"handle_path", "handle_path /cache/* {\nredis_proxy\n}", "/cache", false, ""},
		{"handle_path without the slash", "handle_path /cache* {\nredis_proxy\n}", "/cache", true, ""},
		{"handle_path and a catch-all beside", "handle_path /cache/* {\nredis_proxy\n}\nhandle {\nrespond \"catch-all\"\n}", "/cache", false, "catch-all"},
		{"handle_path outside of the prefix", "handle_path /api/* {\nredis_proxy\n}", "/api/cache", true, ""},
		{"handle_path around an inline matcher", "handle_path /api/* {\nredis_proxy /kv/*\n}", "/api/kv", true, ""},
		{"handle_path around everything", "handle_path /api/* {\nredis_proxy {\npath_prefix /\n}\n}", "/api", false, ""},
		{"handle_path around handle_path", "handle_path /api/* {\nhandle_path /cache* {\nredis_proxy\n}\n}", "/api/cache", true, ""},
		{"handle_path of both at once", "handle_path /api/cache* {\nredis_proxy\n}", "/api/cache", true, ""},
		{"handle within handle", "handle /cache* {\nhandle {\nredis_proxy\n}\n}", "/cache", true, ""},
		{"route", "route {\nredis_proxy\nrespond \"catch-all\"\n}", "/cache", true, "catch-all"},
		{"route with a path", "route /cache* {\nredis_proxy\n}", "/cache", true, ""},
		{"route with an inline matcher", "route {\nredis_proxy /kv/*\nrespond \"catch-all\"\n}", "/kv", true, "catch-all"},
		{"uri strip_prefix", "uri strip_prefix /v1\nredis_proxy", "/v1/cache", true, ""},
		{"behind encode", "encode\nredis_proxy", "/cache", true, ""},
		{"an error route beside", "redis_proxy {\npass_errors\n}\nhandle_errors {\nrespond \"{err.status_code}\"\n}", "/cache", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.site)
			at := "http://" + s.http
			keys := []string{"hello", "a/b", "a%2Fc", "%C3%A9%20%25", "cache/x", "kv/x"}
			// Caddy cleans a path from which it strips a prefix. If our prefix is a part of
			// it, the key is as it was sent. Otherwise the key cannot be told.
			isCleaned := strings.Contains(c.site, "handle_path /api/* {\nredis_proxy") || strings.Contains(c.site, "strip_prefix")
			if !isCleaned {
				keys = append(keys, "a//b")
			}
			for _, key := range keys {
				path := c.base + "/" + key
				a := post(t, s.plain, at+path, "value of "+key)
				a.expect(t, http.StatusCreated, "")
				if got := a.Header.Get("Location"); got != path {
					t.Errorf("Location is %s, want %s", got, path)
				}
				get(t, s.plain, at+path).expect(t, http.StatusOK, "value of "+key)
			}
			get(t, s.plain, at+c.base+"/a/c").expect(t, http.StatusOK, "value of a%2Fc")
			get(t, s.plain, at+c.base+"/x/%2e%2e/hello").expectStatus(t, http.StatusBadRequest)
			if isCleaned {
				get(t, s.plain, at+c.base+"/a//b").expectStatus(t, http.StatusBadRequest)
			}
			if c.collection {
				a := post(t, s.plain, at+c.base, `{"key": "in/body", "value": 1}`, "Content-Type", "application/json")
				a.expect(t, http.StatusCreated, "")
				if got := a.Header.Get("Location"); got != c.base+"/in/body" {
					t.Errorf("Location is %s", got)
				}
				get(t, s.plain, at+c.base+"/in/body").expect(t, http.StatusOK, `{"key":"in/body","value":1}`)
			}
			absent := get(t, s.plain, at+c.base+"/absent")
			absent.expectStatus(t, http.StatusNotFound)
			if strings.Contains(c.site, "handle_errors") {
				absent.expect(t, http.StatusNotFound, "404")
			}
			if c.others != "-" {
				get(t, s.plain, at+"/others").expect(t, http.StatusOK, c.others)
			}
			if c.others != "-" && !strings.Contains(c.site, "/cache*") { // which also matches /cached
				get(t, s.plain, at+c.base+"d/x").expect(t, http.StatusOK, c.others)
			}
		})
	}
}

// TestNoOtherKeyBehindAStrip sends keys that Caddy changes as it strips a path.
func TestNoOtherKeyBehindAStrip(t *testing.T) {
	for _, outer := range []string{"handle_path /api/* {\n%\n}", "uri strip_prefix /api\n%", "uri replace /api/ /\n%", "handle /api/* {\nuri strip_prefix /api\n%\n}"} {
		t.Run(outer, func(t *testing.T) {
			s := start(t, strings.ReplaceAll(outer, "%", "redis_proxy {\nmethods GET HEAD POST PUT DELETE\n}"))
			at := "http://" + s.http + "/api/cache"
			do(t, s.plain, request{"PUT", at + "/u/x", "v", nil}).expectStatus(t, http.StatusCreated)
			for _, other := range []string{"/u//x", "//u/x", "//u///x", "/v/%2e%2e/u/x", "/v/%2E./u/x", "/u/./x", "/%2e/u/x", "/u%2Fy%2F..%2Fx"} {
				for _, method := range []string{"PUT", "DELETE", "POST", "GET"} {
					do(t, s.plain, request{method, at + other, "other", nil}).expectStatus(t, http.StatusBadRequest)
				}
			}
			get(t, s.plain, at+"/u/x").expect(t, http.StatusOK, "v")
			// Caddy does not merge an escaped slash.
			do(t, s.plain, request{"PUT", at + "/u%2F%2Fx", "other", nil}).expectStatus(t, http.StatusCreated)
			get(t, s.plain, at+"/u/x").expect(t, http.StatusOK, "v")

			a := post(t, s.plain, at, `{"key": "p//q", "value": 1}`, "Content-Type", "application/json")
			a.expect(t, http.StatusCreated, "")
			if got := a.Header.Values("Location"); got != nil {
				t.Errorf("Location is %s, which leads nowhere", got)
			}
			get(t, s.plain, at+"?key=p//q").expectStatus(t, http.StatusOK)
		})
	}
}

// TestLocationOfRewrittenPaths checks that a Location that leads nowhere is left out.
func TestLocationOfRewrittenPaths(t *testing.T) {
	s := start(t, "rewrite /by /cache/byid/{query.id}\nrewrite /new /cache\nredis_proxy")
	at := "http://" + s.http
	for _, path := range []string{"/by?id=7", "/new"} {
		a := post(t, s.plain, at+path, `{"key": "byid/7", "value": 1}`, "Content-Type", "application/json")
		if path == "/new" {
			a.expectStatus(t, http.StatusConflict)
			a = post(t, s.plain, at+path, `{"key": "k", "value": 1}`, "Content-Type", "application/json")
		}
		a.expect(t, http.StatusCreated, "")
		if got := a.Header.Values("Location"); got != nil {
			t.Errorf("%s: Location is %s", path, got)
		}
	}
	get(t, s.plain, at+"/by?id=7").expect(t, http.StatusOK, `{"key":"byid/7","value":1}`)
	get(t, s.plain, at+"/cache/k").expect(t, http.StatusOK, `{"key":"k","value":1}`)
}

// TestNearMissesOfAStrippedPrefix checks that near misses get an answer in place of an empty
// 200. The matcher of handle_path ignores case, slashes and escapes.
func TestNearMissesOfAStrippedPrefix(t *testing.T) {
	s := start(t, "handle_path /cache/* {\nredis_proxy\n}")
	for _, path := range []string{"/CACHE/k", "//cache/k", "/c%61che/k", "/x/%2e%2e/cache/k"} {
		get(t, s.plain, "http://"+s.http+path).expectStatus(t, http.StatusNotFound)
	}
}

// TestGuardBefore checks the order among other directives.
func TestGuardBefore(t *testing.T) {
	s := start(t, "redis_proxy\n@outside not header X-Token secret\nrespond @outside 401")
	post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusUnauthorized)
	post(t, s.plain, "http://"+s.http+"/cache/k", "v", "X-Token", "secret").expectStatus(t, http.StatusCreated)
}

// TestBehindEncode sends back the tags that the encode directive changes.
func TestBehindEncode(t *testing.T) {
	s := start(t, "encode\nredis_proxy {\nmethods GET HEAD POST PUT\n}")
	at := "https://" + s.https + "/cache/k"
	value := `"` + strings.Repeat("x", 2000) + `"`
	for _, client := range []*http.Client{s.http1, s.http2} {
		for _, encoding := range []string{"gzip", "zstd"} {
			do(t, client, request{"PUT", at, `{"value": ` + value + `}`, []string{"Content-Type", "application/json"}})
			a := get(t, client, at, "Accept-Encoding", encoding)
			tag := a.Header.Get("Etag")
			if a.Header.Get("Content-Encoding") != encoding || !strings.HasSuffix(tag, "-"+encoding+`"`) || len(a.body) > 1000 {
				t.Fatalf("%v, %d bytes", a.Header, len(a.body))
			}
			get(t, client, at, "Accept-Encoding", encoding, "If-None-Match", tag).expect(t, http.StatusNotModified, "")
			do(t, client, request{"HEAD", at, "", []string{"Accept-Encoding", encoding, "If-None-Match", tag}}).expect(t, http.StatusNotModified, "")
			do(t, client, request{"PUT", at, "v1", []string{"If-Match", tag}}).expectStatus(t, http.StatusOK)
			do(t, client, request{"PUT", at, "v2", []string{"If-Match", tag}}).expectStatus(t, http.StatusPreconditionFailed)
			get(t, client, at, "Accept-Encoding", encoding, "If-None-Match", tag).expect(t, http.StatusOK, "v1")
		}
	}
}

// TestRequestBodyLimit checks that the 413 of Caddy's own directive stays.
func TestRequestBodyLimit(t *testing.T) {
	s := start(t, "request_body {\nmax_size 10\n}\nredis_proxy")
	at := "http://" + s.http + "/cache/k"
	post(t, s.plain, at, strings.Repeat("x", 11)).expect(t, http.StatusRequestEntityTooLarge, "")
	r, err := http.NewRequestWithContext(t.Context(), "POST", at, io.MultiReader(strings.NewReader(strings.Repeat("x", 11))))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(resp.Status)
	}
	get(t, s.plain, at).expectStatus(t, http.StatusNotFound)
}

// TestHeaderDirective edits our header values in place. The edit must not show in the next
// answer.
func TestHeaderDirective(t *testing.T) {
	s := start(t, "header {\n>Etag \"(.*)\" \"changed\"\n>Content-Type json cbor\n}\nredis_proxy")
	at := "http://" + s.http + "/cache/k"
	postJSON(t, s.plain, at, "1")
	for range 3 {
		a := get(t, s.plain, at)
		a.expect(t, http.StatusOK, `{"key":"k","value":1}`)
		if got := a.Header.Get("Content-Type"); got != "application/cbor" {
			t.Errorf("Content-Type is %s", got)
		}
	}
	s.reload("redis_proxy")
	if got := get(t, s.plain, at).Header; got.Get("Content-Type") != "application/json" || got.Get("Etag") == "changed" {
		t.Error(got)
	}
}
