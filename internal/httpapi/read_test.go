package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const (
	detailWeakMatch = `a weak ETag (W/"…") never matches If-Match; send the ETag in this answer, without W/`
	statusAbsent    = "Cache-Status: redis_proxy; fwd=uri-miss; detail=absent"
	detailAbsent    = "no entry has this key; POST creates one"
)

func TestReads(t *testing.T) {
	const wholePage = `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 3
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: text/html
Etag: "<etag>"
X-Content-Type-Options: nosniff

<b>`
	noneOfThree := sitetest.Problem(416, "the value has 3 bytes, and none of them is in the range", "Accept-Ranges: bytes",
		"Cache-Status: redis_proxy; hit; ttl=<ttl>", "Content-Range: bytes */3")
	s := sitetest.New(t, "methods GET HEAD POST PUT DELETE")
	run(t, s, []step{
		{"an absent key", "GET /cache/hello", sitetest.Problem(404, detailAbsent, statusAbsent)},
		{
			"HEAD of an absent key has no body", "HEAD /cache/hello",
			strings.SplitAfter(sitetest.Problem(404, detailAbsent, statusAbsent), "\n\n")[0],
		},
		{
			"create", "POST /cache/hello\nContent-Type: application/json\n\n{\"value\": \"world\"}",
			"201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/hello\n\n",
		},
		{"the store answers first", "GET /cache/hello", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 31
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

{"key":"hello","value":"world"}`},
		{"then the local tier", "GET /cache/hello", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 31
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

{"key":"hello","value":"world"}`},
		{"HEAD", "HEAD /cache/hello", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 31
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

`},
		{"a string alone", "GET /cache/hello?raw", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 5
Content-Type: text/plain; charset=utf-8
Etag: "<etag>"
X-Content-Type-Options: nosniff

world`},
		{"raw among other parameters", "HEAD /cache/hello?a=b&raw=1", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 5
Content-Type: text/plain; charset=utf-8
Etag: "<etag>"
X-Content-Type-Options: nosniff

`},
		{"no-cache asks the store", "GET /cache/hello\nCache-Control: max-age=0, No-Cache", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=request; stored
Content-Length: 31
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

{"key":"hello","value":"world"}`},
		{"only-if-cached of a local entry", "HEAD /cache/hello\nCache-Control: only-if-cached", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 31
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

`},
		{
			"only-if-cached of another", "GET /cache/other\nCache-Control: only-if-cached",
			sitetest.Problem(504, "the local tier has no fresh value, and only-if-cached forbids asking the store; repeat the request without only-if-cached"),
		},
		{
			"no-cache of an absent key", "GET /cache/other\nCache-Control: no-cache",
			sitetest.Problem(404, detailAbsent, "Cache-Status: redis_proxy; fwd=request; detail=absent"),
		},
		{"store JSON", "PUT /cache/json\nContent-Type: application/json; charset=utf-8\n\n{\"value\": [1, {\"a\":1.0}]}", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/json\n\n"},
		{"JSON alone", "GET /cache/json?raw", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 14
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

[1, {"a":1.0}]`},
		{"store a page", "PUT /cache/page\nContent-Type: text/html\n\n<b>", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/page\n\n"},
		{"a stored type may not act", "GET /cache/page", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 3
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: text/html
Etag: "<etag>"
X-Content-Type-Options: nosniff

<b>`},
		{"a part", "GET /cache/page\nRange: bytes=1-", `206 Partial Content
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 2
Content-Range: bytes 1-2/3
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: text/html
Etag: "<etag>"
X-Content-Type-Options: nosniff

b>`},
		{"a part of this version", "GET /cache/page\nRange: bytes=-1\nIf-Range: {etag}", `206 Partial Content
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 1
Content-Range: bytes 2-2/3
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: text/html
Etag: "<etag>"
X-Content-Type-Options: nosniff

>`},
		{"a part of another version is all", "GET /cache/page\nRange: bytes=-1\nIf-Range: \"1\"", strings.Replace(wholePage, "\n", "\nAccept-Ranges: bytes\n", 1)},
		{"a part that is not there", "GET /cache/page\nRange: bytes=3-", noneOfThree},
		{"the last no bytes", "GET /cache/page\nRange: bytes=-0", noneOfThree},
		{"nothing of two parts", "GET /cache/page\nRange: bytes=-0,7-9", noneOfThree},
		{"no range at all", "GET /cache/page\nRange: bytes=b-c", noneOfThree},
		{"a range that ends before it begins", "GET /cache/page\nRange: bytes=2-1", noneOfThree},
		{"a part of one of two versions is all", "GET /cache/page\nRange: bytes=-1\nIf-Range: {etag}\nIf-Range: \"1\"", wholePage},
	})
}

func TestConditionalReads(t *testing.T) {
	s := sitetest.New(t, "")
	s.Send("POST /cache/k\n\nv")
	s.Send("GET /cache/k")
	const whole = `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 1
Content-Type: application/octet-stream
Etag: "<etag>"
X-Content-Type-Options: nosniff

v`
	const notModified = `304 Not Modified
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Etag: "<etag>"

`
	failed := sitetest.Problem(412, "the entry has another version than If-Match asks for; its ETag is in this answer",
		"Cache-Status: redis_proxy; hit; ttl=<ttl>", `Etag: "<etag>"`)
	run(t, s, []step{
		{"If-None-Match of this version", "GET /cache/k\nIf-None-Match: {etag}", notModified},
		{"HEAD with it", "HEAD /cache/k\nIf-None-Match: {etag}", notModified},
		{"weakly", "GET /cache/k\nIf-None-Match: W/{etag}", notModified},
		{"in a list", "GET /cache/k\nIf-None-Match: \"1\", {etag}", notModified},
		{"in a second line", "GET /cache/k\nIf-None-Match: \"1\"\nIf-None-Match: {etag}", notModified},
		{"any", "GET /cache/k\nIf-None-Match: *", notModified},
		{"of another version", "GET /cache/k\nIf-None-Match: \"1\"", whole},
		{"without quotes does not count", "GET /cache/k\nIf-None-Match: 1", whole},
		{"wins over a range", "GET /cache/k\nIf-None-Match: {etag}\nRange: bytes=0-0", notModified},
		{"If-Match of this version", "GET /cache/k\nIf-Match: {etag}", whole},
		{"any version", "GET /cache/k\nIf-Match: *", whole},
		{"of another", "GET /cache/k\nIf-Match: \"1\"", failed},
		{
			"weakly never matches", "GET /cache/k\nIf-Match: W/{etag}",
			sitetest.Problem(412, detailWeakMatch, "Cache-Status: redis_proxy; hit; ttl=<ttl>", `Etag: "<etag>"`),
		},
		{"both", "GET /cache/k\nIf-Match: {etag}\nIf-None-Match: {etag}", notModified},
		{
			"broken", "GET /cache/k\nIf-Match: 1",
			sitetest.Problem(400, `If-Match is neither * nor a list of ETags such as "1a2b3c"`),
		},
		{"dates do not count", "GET /cache/k\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\nIf-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT", whole},
		{"of an absent key", "GET /cache/none\nIf-Match: \"1\"", sitetest.Problem(404, detailAbsent, statusAbsent)},
	})
}

func TestSettingsOfReads(t *testing.T) {
	t.Run("client_no_cache ignore", func(t *testing.T) {
		s := sitetest.New(t, "client_no_cache ignore")
		s.Send("POST /cache/k\n\nv")
		s.Send("GET /cache/k")
		if got := s.Send("GET /cache/k\nCache-Control: no-cache"); !strings.Contains(got, "redis_proxy; hit; ttl=") {
			t.Error(got)
		}
	})
	t.Run("no local tier", func(t *testing.T) {
		s := sitetest.New(t, "local_ttl 0")
		s.Send("POST /cache/k\n\nv")
		s.Send("GET /cache/k")
		if got := s.Send("GET /cache/k"); !strings.Contains(got, "Cache-Status: redis_proxy; fwd=uri-miss\n") {
			t.Error(got)
		}
	})
	t.Run("cache_control", func(t *testing.T) {
		s := sitetest.New(t, `cache_control "public, max-age=3"`)
		s.Send("POST /cache/k\n\nv")
		if got := s.Send("GET /cache/k"); !strings.Contains(got, "\nCache-Control: public, max-age=3\n") {
			t.Error(got)
		}
	})
	t.Run("no cache_control", func(t *testing.T) {
		s := sitetest.New(t, `cache_control ""`)
		s.Send("POST /cache/k\n\nv")
		if got := s.Send("GET /cache/k"); strings.Contains(got, "Cache-Control") {
			t.Error(got)
		}
	})
}

func TestPassErrors(t *testing.T) {
	s := sitetest.New(t, "pass_errors")
	run(t, s, []step{
		{"an absent key", "GET /cache/k", "404 Not Found\n" + statusAbsent + "\nContent-Length: 54\nContent-Type: text/plain\n\nhandle_errors: " + detailAbsent},
		{"a method", "PUT /cache/k\n\nv", "405 Method Not Allowed\nAllow: GET, HEAD, POST, OPTIONS\nContent-Length: 94\nContent-Type: text/plain\n\n" +
			"handle_errors: PUT is switched off: it is not in `methods` in the configuration of redis_proxy"},
	})
}

// others sets a member of Cache-Status before the handler runs.
type others struct{ *redisproxy.Handler }

func (o others) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	w.Header()["Cache-Status"] = []string{"Edge; fwd=miss"}
	return o.Handler.ServeHTTP(w, r, next)
}

func TestCacheStatusIsAddedToAList(t *testing.T) {
	s := sitetest.Serve(t, others{sitetest.Handler(t, "")})
	if got := s.Send("GET /cache/k"); !strings.Contains(got, "Cache-Status: Edge; fwd=miss\n"+statusAbsent+"\n") {
		t.Error(got)
	}
}

// TestResponsesShareNoHeaderValues edits the values of one answer in place, as
// Caddy's header directive does.
func TestResponsesShareNoHeaderValues(t *testing.T) {
	h := sitetest.Handler(t, "")
	s := sitetest.Serve(t, h)
	s.Send("POST /cache/k\nContent-Type: text/plain\n\nv")
	want := s.Send("GET /cache/k")
	want = strings.Replace(want, "fwd=uri-miss; stored", "hit; ttl=<ttl>", 1)

	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, httptest.NewRequest("GET", "/cache/k", nil), nil); err != nil {
		t.Fatal(err)
	}
	for name, values := range w.Header() {
		_ = append(values, "grown")
		values[0] = "changed " + name
	}
	for name, values := range w.Header() {
		if values[0] != "changed "+name {
			t.Errorf("%s shares its array with another header: %s", name, values[0])
		}
	}
	if got := s.Send("GET /cache/k"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestHitAllocations bounds the allocations of a hit: only the array of header values.
func TestHitAllocations(t *testing.T) {
	h := sitetest.Handler(t, "")
	s := sitetest.Serve(t, h)
	s.Send("POST /cache/k\nContent-Type: application/json\n\n{\"value\":1}")
	s.Send("GET /cache/k")
	w := discard{http.Header{}}
	r := httptest.NewRequest("GET", "/cache/k", nil)
	allocations := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		if err := h.ServeHTTP(w, r, nil); err != nil {
			t.Error(err)
		}
	})
	if allocations > 1 {
		t.Errorf("a hit made %v allocations", allocations)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkHit(b *testing.B) {
	h := sitetest.Handler(b, "")
	value := store.Value{Data: []byte(`"` + strings.Repeat("x", 28) + `"`), Kind: store.JSON}
	if _, err := sitetest.CacheOf(b, h).Engine.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: value}); err != nil {
		b.Fatal(err)
	}
	w := discard{http.Header{}}
	r := httptest.NewRequest("GET", "/cache/k", nil)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		if err := h.ServeHTTP(w, r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClosedEngineAnswers503(t *testing.T) {
	h := sitetest.Parse(t, "")
	h.Namespace = sitetest.Namespace(t)
	if err := h.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	s := sitetest.Serve(t, h)
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	want := sitetest.Problem(503, "this configuration is closing down, nothing was changed; repeat the request", "Retry-After: 1")
	run(t, s, []step{
		{"GET", "GET /cache/k", want},
		{"POST", "POST /cache/k\n\nv", want},
	})
}

func TestBadKeys(t *testing.T) {
	bad := func(detail string) string { return sitetest.Problem(400, detail) }
	const dots = "the key has a . or .. segment, which clients resolve before they send a path"
	s := sitetest.New(t, "max_key_size 8")
	run(t, s, []step{
		{"empty", "GET /cache/", bad("the key is empty; name one in the path, /cache/{key}, or leave the last slash out to read several keys")},
		{"too long", "GET /cache/123456789", bad("the key has 9 bytes; max_key_size allows 8")},
		{"too long in bytes", "GET /cache/1234567%C3%A9", bad("the key has 9 bytes; max_key_size allows 8")},
		{"not UTF-8", "GET /cache/%ff", bad("the key is not valid UTF-8")},
		{"NUL", "GET /cache/%00", bad("the key has a control character")},
		{"line feed", "GET /cache/a%0Ab", bad("the key has a control character")},
		{"DEL", "GET /cache/%7f", bad("the key has a control character")},
		{"C1", "GET /cache/%C2%85", bad("the key has a control character")},
		{"a dot", "GET /cache/.", bad(dots)},
		{"two dots", "GET /cache/a/..", bad(dots)},
		{"dots in front", "GET /cache/../b", bad(dots)},
		{"escaped dots", "GET /cache/%2e%2E/b", bad(dots)},
		{"dots between escaped slashes", "GET /cache/a%2F.%2Fb", bad(dots)},
		{"on POST", "POST /cache/%00\n\nv", bad("the key has a control character")},
		{"on HEAD", "HEAD /cache/..", strings.SplitAfter(bad(dots), "\n\n")[0]},
		{"just as long as allowed", "GET /cache/12345678", sitetest.Problem(404, detailAbsent, statusAbsent)},
		{"more dots", "GET /cache/.../..a", sitetest.Problem(404, detailAbsent, statusAbsent)},
	})
	if got := s.Send("GET /cache/%zz"); !strings.HasPrefix(got, "400 Bad Request\n") {
		t.Error(got)
	}
}
