package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// ok returns the answer to a GET or HEAD of an entry with an envelope.
func ok(status, body string) string {
	return "200 OK\nCache-Control: no-cache\nCache-Status: redis_proxy; " + status +
		fmt.Sprintf("\nContent-Length: %d\nContent-Type: application/json\nEtag: \"<etag>\"\nX-Content-Type-Options: nosniff\n\n%s", len(body), body)
}

func TestTenantsDoNotSeeEachOthersEntries(t *testing.T) {
	h := sitetest.Handler(t, "key_prefix {http.request.host}/\nmethods GET HEAD POST PUT DELETE")
	s := sitetest.Serve(t, h)
	created := func(location string) string {
		return "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: " + location + "\n\n"
	}
	const long = `"` + "0123456789"
	run(t, s, []step{
		{"one creates", "POST /cache/k\nHost: a.test\nContent-Type: application/json\n\n{\"value\": \"of a\"}", created("/cache/k")},
		{"another creates the same", "POST /cache/k\nHost: b.test:81\nContent-Type: application/json\n\n{\"value\": [\"of b\"]}", created("/cache/k")},
		{"one reads", "GET /cache/k\nHost: a.test", ok("fwd=uri-miss; stored", `{"key":"k","value":"of a"}`)},
		{"the other reads", "GET /cache/k\nHost: b.test", ok("fwd=uri-miss; stored", `{"key":"k","value":["of b"]}`)},
		{"locally", "GET /cache/k\nHost: a.test:80", ok("hit; ttl=<ttl>", `{"key":"k","value":"of a"}`)},
		{
			"HEAD has the length of what GET answers", "HEAD /cache/k\nHost: a.test",
			strings.TrimSuffix(ok("hit; ttl=<ttl>", `{"key":"k","value":"of a"}`), `{"key":"k","value":"of a"}`),
		},
		{
			"the value alone", "GET /cache/k?raw\nHost: a.test\nRange: bytes=1-2",
			"206 Partial Content\nAccept-Ranges: bytes\nCache-Control: no-cache\nCache-Status: redis_proxy; hit; ttl=<ttl>\nContent-Length: 2\n" +
				"Content-Range: bytes 1-2/4\nContent-Type: text/plain; charset=utf-8\n" +
				"Etag: \"<etag>\"\nX-Content-Type-Options: nosniff\n\nf ",
		},
		{"the key of another is absent", "GET /cache/b.test/k\nHost: a.test", sitetest.Problem(404, "no entry has this key; POST creates one", "Cache-Status: redis_proxy; fwd=uri-miss; detail=absent")},
		{
			"a key in the body", "POST /cache\nHost: a.test\nContent-Type: application/json\n\n{\"key\": \"in/body\", \"value\": 1}",
			created("/cache/in/body"),
		},
		{"in a form", "POST /cache\nHost: b.test\nContent-Type: application/x-www-form-urlencoded\n\nkey=in/body&value=2", created("/cache/in/body")},
		{"read back", "GET /cache/in/body\nHost: a.test", ok("fwd=uri-miss; stored", `{"key":"in/body","value":1}`)},
		{"a key in path and body", "POST /cache/same\nHost: a.test\nContent-Type: application/json\n\n{\"key\": \"same\", \"value\": 1}", created("/cache/same")},
		{
			"not the whole key in path and body", "POST /cache/same\nHost: a.test\nContent-Type: application/json\n\n{\"key\": \"a.test/same\", \"value\": 1}",
			sitetest.Problem(400, "the field key is not the key in the path; leave it out"),
		},
		{"a second creation", "POST /cache/k\nHost: a.test\n\nx", sitetest.ProblemWith(409, "the key exists, its value was left as it is; PUT replaces it", `,"same_value":false`, `Etag: "<etag>"`)},
		{"one deletes", "DELETE /cache/k\nHost: a.test", "204 No Content\n\n"},
		{"which leaves the other's", "GET /cache/k\nHost: b.test", ok("hit; ttl=<ttl>", `{"key":"k","value":["of b"]}`)},
		{"bytes", "PUT /cache/k\nHost: a.test\nContent-Type: image/png\n\n" + long, created("/cache/k")},
	})

	t.Run("batch read", func(t *testing.T) {
		got := s.Send("GET /cache?key=k&key=in/body&key=b.test/k&key=same\nHost: a.test")
		_, body, _ := strings.Cut(got, "\n\n")
		body = sitetest.ETagPattern.ReplaceAllString(strings.ReplaceAll(body, `\"`, `"`), `"<etag>"`)
		const want = `{"entries":[{"key":"k","base64":"IjAxMjM0NTY3ODk=","content_type":"image/png","etag":""<etag>""},` +
			`{"key":"in/body","value":1,"etag":""<etag>""},{"key":"same","value":1,"etag":""<etag>""}],"absent":["b.test/k"]}`
		if body != want {
			t.Errorf("got\n%s\nwant\n%s", body, want)
		}
	})
	t.Run("the store knows the whole key", func(t *testing.T) {
		answer, err := sitetest.CacheOf(t, h).Engine.Get(t.Context(), "b.test/k", engine.Read{})
		if err != nil || answer.Entry == nil || string(answer.Entry.Data) != `["of b"]` {
			t.Errorf("%+v, %v", answer, err)
		}
	})
}

func TestAPrefixIsCutOutOfTheEnvelopeAsItStandsThere(t *testing.T) {
	s := sitetest.New(t, "key_prefix {http.request.header.X-Tenant}/\nmethods GET POST")
	for _, tenant := range []string{"plain", `qu"ote`, `back\slash`, "käse😀", "<&>", `\u0041`, `"`} {
		t.Run(tenant, func(t *testing.T) {
			key := `k"` + tenant
			head := "\nX-Tenant: " + tenant
			if got := s.Send("POST /cache" + head + "\nContent-Type: application/json\n\n" + string(content.AppendQuoted([]byte(`{"value":"v","key":`), key)) + "}"); !strings.HasPrefix(got, "201 ") {
				t.Fatal(got)
			}
			path := "/cache/k%22" + escapeAll(tenant)
			want := `{"key":` + string(content.AppendQuoted(nil, key)) + `,"value":"v"}`
			if got := s.Send("GET " + path + head); got != strings.Replace(ok("fwd=uri-miss; stored", want), "X-Content", "Vary: X-Tenant\nX-Content", 1) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			_, got, _ := strings.Cut(s.Send("GET /cache?key=k%22"+escapeAll(tenant)+head), "\n\n")
			if !strings.HasPrefix(got, `{"entries":[`+strings.TrimSuffix(want, "}")+`,"etag":`) {
				t.Errorf("in a batch: %s", got)
			}
		})
	}
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func TestARequestWithoutItsWholePrefixIsRefused(t *testing.T) {
	s := sitetest.New(t, "key_prefix {http.request.header.X-Tenant}/\nmax_key_size 10\nmethods GET POST PUT DELETE")
	const vary = "Vary: X-Tenant"
	missing := sitetest.Problem(400, "the request has no value for {http.request.header.X-Tenant}, which key_prefix in the configuration of redis_proxy needs", vary)
	slash := sitetest.Problem(400, "the value of {http.request.header.X-Tenant}, which key_prefix in the configuration of redis_proxy needs, must not contain a slash", vary)
	const large = "with the prefix that key_prefix adds: the key has 11 bytes; max_key_size allows 10"
	run(t, s, []step{
		{"GET", "GET /cache/k", missing},
		{"POST", "POST /cache/k\n\nv", missing},
		{"PUT", "PUT /cache/k\n\nv", missing},
		{"DELETE", "DELETE /cache/k", missing},
		{"batch read", "GET /cache?key=k", missing},
		{"empty", "GET /cache/k\nX-Tenant:", missing},
		{"a key in the body", "POST /cache\nContent-Type: application/json\n\n{\"key\": \"k\", \"value\": 1}", missing},
		{"a slash, which would reach into another one's keys", "GET /cache/k\nX-Tenant: a/b", slash},
		{"a tenant that is a dot segment", "GET /cache/k\nX-Tenant: ..", sitetest.Problem(400, "with the prefix that key_prefix adds: the key has a . or .. segment, which clients resolve before they send a path", vary)},
		{"a tenant that is not UTF-8", "GET /cache/k\nX-Tenant: \xff", sitetest.Problem(400, "with the prefix that key_prefix adds: the key is not valid UTF-8", vary)},
		{"no key", "GET /cache/\nX-Tenant: a", sitetest.Problem(400, "the key is empty; name one in the path, /cache/{key}, or leave the last slash out to read several keys", vary)},
		{"the largest key", "GET /cache/12345678\nX-Tenant: a", sitetest.Problem(404, "no entry has this key; POST creates one", "Cache-Status: redis_proxy; fwd=uri-miss; detail=absent", vary)},
		{"a larger one", "GET /cache/123456789\nX-Tenant: a", sitetest.Problem(400, large, vary)},
		{"to write", "PUT /cache/123456789\nX-Tenant: a\n\nv", sitetest.Problem(400, large, vary)},
		{"in a batch read", "GET /cache?key=123456789\nX-Tenant: a", sitetest.Problem(400, `"123456789": `+large, vary)},
		{"in a body", "POST /cache\nX-Tenant: a\nContent-Type: application/json\n\n{\"key\": \"123456789\", \"value\": 1}", sitetest.Problem(400, large, vary)},
	})
	t.Run("a placeholder that nothing knows", func(t *testing.T) {
		s := sitetest.New(t, "key_prefix {http.reqest.host}/")
		if got := s.Send("GET /cache/k"); !strings.Contains(got, "400 Bad Request") || !strings.Contains(got, "{http.reqest.host}") {
			t.Error(got)
		}
	})
}

func TestPrefixesThatAreTaken(t *testing.T) {
	for _, settings := range []string{"key_prefix abc/\nmax_key_size 5", "key_prefix a{b}c/d{e}/{f./x/y}/"} {
		sitetest.Handler(t, settings+"\nnamespace "+sitetest.Namespace(t))
	}
}

// A cache that keeps an answer asks again with its ETag, maybe for another tenant.
func TestAnETagOfOneTenantIsNotThatOfAnother(t *testing.T) {
	s := sitetest.New(t, "key_prefix {http.request.header.X-Tenant}/\nmethods GET HEAD POST PUT")
	for _, tenant := range []string{"a", "b"} {
		s.Send("PUT /cache/k\nX-Tenant: " + tenant + "\n\nthe same")
	}
	s.Send("GET /cache/k\nX-Tenant: a") // the next request sends its ETag
	if got := s.Send("GET /cache/k\nX-Tenant: b\nIf-None-Match: {etag}"); !strings.HasPrefix(got, "200 OK\n") {
		t.Error(got)
	}
	s.Send("GET /cache/k\nX-Tenant: a")
	if got := s.Send("PUT /cache/k\nX-Tenant: b\nIf-Match: {etag}\n\nother"); !strings.HasPrefix(got, "412 ") {
		t.Error(got)
	}
	s.Send("GET /cache/k\nX-Tenant: a")
	if got := s.Send("GET /cache/k\nX-Tenant: a\nIf-None-Match: {etag}"); !strings.HasPrefix(got, "304 ") || !strings.Contains(got, "\nVary: X-Tenant\n") {
		t.Error(got)
	}
	if got := s.Send("GET /cache/k\nX-Tenant: c\nIf-None-Match: {etag}"); !strings.HasPrefix(got, "404 ") {
		t.Error(got)
	}
}

func TestCachesMustNotMixTenants(t *testing.T) {
	const hint = ", which is not known to be part of the URL; add private (only browsers cache then), no-cache or no-store"
	for _, c := range []struct{ keyPrefix, cacheControl, refused string }{
		{"{http.request.header.X-Tenant}/", "max-age=60", "{http.request.header.X-Tenant}"},
		{"{http.request.header.X-Tenant}/", "public, s-maxage=60", "{http.request.header.X-Tenant}"},
		{"{http.request.header.X-Tenant}/", "must-revalidate", "{http.request.header.X-Tenant}"},
		{"{http.request.header.X-Tenant}/", "max-age=60, private", ""},
		{"{http.request.header.X-Tenant}/", "max-age=60, Private", ""},
		{"{http.request.header.X-Tenant}/", "no-store", ""},
		{"{http.request.header.X-Tenant}/", "no-cache", ""},
		{"{http.request.header.X-Tenant}/", `""`, ""},
		{"{http.request.header.X-Tenant}/", "private=`Set-Cookie`, max-age=60", "{http.request.header.X-Tenant}"},
		{"{http.request.header.X-Tenant}/", "x=`private, no-store`, max-age=60", "{http.request.header.X-Tenant}"},
		{"{http.request.cookie.session}/", "max-age=60", "{http.request.cookie.session}"},
		{"{http.auth.user.id}/", "max-age=60", "{http.auth.user.id}"},
		{"{http.request.remote.host}/", "max-age=60", "{http.request.remote.host}"},
		{"{http.vars.client_ip}/", "max-age=60", "{http.vars.client_ip}"},
		{"{http.request.tls.client.subject}/", "max-age=60", "{http.request.tls.client.subject}"},
		{"{http.request.host}/{http.auth.user.id}/", "max-age=60", "{http.auth.user.id}"},
		{"{tenant}/", "max-age=60", "{tenant}"},
		{"{http.request.host}/{http.request.uri.query.t}/", "max-age=60", ""},
		{"{http.request.host.labels.2}/{env.HOME}/", "max-age=60", ""},
		{"fixed/", "max-age=60", ""},
	} {
		value := strings.Trim(c.cacheControl, `"`)
		value = strings.ReplaceAll(value, "`", `"`)
		h := &redisproxy.Handler{Namespace: sitetest.Namespace(t), KeyPrefix: c.keyPrefix, CacheControl: &value}
		err := h.Provision(sitetest.Context(t))
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s, %s: %v", c.keyPrefix, value, err)
		case c.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), "cache_control: ") || !strings.HasSuffix(err.Error(), "key_prefix has "+c.refused+hint)):
			t.Errorf("%s, %s: %v", c.keyPrefix, value, err)
		}
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
}
