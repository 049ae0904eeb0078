package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

const (
	statusAbsent = "Cache-Status: redis_proxy; fwd=uri-miss; detail=absent"
	detailAbsent = "no entry has this key; POST creates one"
)

func TestReads(t *testing.T) {
	const wholePage = `200 OK
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 3
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: text/html
Etag: "<etag>"
X-Content-Type-Options: nosniff

<b>`
	noneOfThree := problemAnswer(416, "the value has 3 bytes, and none of them is in the range", "Accept-Ranges: bytes",
		"Cache-Status: redis_proxy; hit; ttl=<ttl>", "Content-Range: bytes */3")
	s := newSite(t, "methods GET HEAD POST PUT DELETE")
	s.run(t, []step{
		{"an absent key", "GET /cache/hello", problemAnswer(404, detailAbsent, statusAbsent)},
		{
			"HEAD of an absent key has no body", "HEAD /cache/hello",
			strings.SplitAfter(problemAnswer(404, detailAbsent, statusAbsent), "\n\n")[0],
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
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 5
Content-Type: text/plain; charset=utf-8
Etag: "<etag>"
X-Content-Type-Options: nosniff

world`},
		{"raw among other parameters", "HEAD /cache/hello?a=b&raw=1", `200 OK
Accept-Ranges: bytes
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
			problemAnswer(504, "no fresh value is held locally, and only-if-cached forbids to ask the store; repeat the request without it"),
		},
		{
			"no-cache of an absent key", "GET /cache/other\nCache-Control: no-cache",
			problemAnswer(404, detailAbsent, "Cache-Status: redis_proxy; fwd=request; detail=absent"),
		},
		{"store JSON", "PUT /cache/json\nContent-Type: application/json; charset=utf-8\n\n{\"value\": [1, {\"a\":1.0}]}", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/json\n\n"},
		{"JSON alone", "GET /cache/json?raw", `200 OK
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 14
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

[1, {"a":1.0}]`},
		{"store a page", "PUT /cache/page\nContent-Type: text/html\n\n<b>", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/page\n\n"},
		{"a stored type may not act", "GET /cache/page", `200 OK
Accept-Ranges: bytes
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
		{"a part of another version is all", "GET /cache/page\nRange: bytes=-1\nIf-Range: \"1\"", wholePage},
		{"a part that is not there", "GET /cache/page\nRange: bytes=3-", noneOfThree},
		{"the last no bytes", "GET /cache/page\nRange: bytes=-0", noneOfThree},
		{"nothing of two parts", "GET /cache/page\nRange: bytes=-0,7-9", noneOfThree},
		{"no range at all", "GET /cache/page\nRange: bytes=b-c", noneOfThree},
		{"a range that ends before it begins", "GET /cache/page\nRange: bytes=2-1", noneOfThree},
		{"a part of one of two versions is all", "GET /cache/page\nRange: bytes=-1\nIf-Range: {etag}\nIf-Range: \"1\"", wholePage},
	})
}

func TestConditionalReads(t *testing.T) {
	s := newSite(t, "")
	s.send("POST /cache/k\n\nv")
	s.send("GET /cache/k")
	const whole = `200 OK
Accept-Ranges: bytes
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Content-Length: 1
Content-Security-Policy: default-src 'none'; sandbox
Content-Type: application/octet-stream
Etag: "<etag>"
X-Content-Type-Options: nosniff

v`
	const notModified = `304 Not Modified
Cache-Control: no-cache
Cache-Status: redis_proxy; hit; ttl=<ttl>
Etag: "<etag>"

`
	failed := problemAnswer(412, "the entry has another version than If-Match asks for; its ETag is in this answer",
		"Cache-Status: redis_proxy; hit; ttl=<ttl>", `Etag: "<etag>"`)
	s.run(t, []step{
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
			problemAnswer(412, detailWeakMatch, "Cache-Status: redis_proxy; hit; ttl=<ttl>", `Etag: "<etag>"`),
		},
		{"both", "GET /cache/k\nIf-Match: {etag}\nIf-None-Match: {etag}", notModified},
		{
			"broken", "GET /cache/k\nIf-Match: 1",
			problemAnswer(400, `If-Match is neither * nor a list of ETags such as "1a2b3c"`),
		},
		{"dates do not count", "GET /cache/k\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\nIf-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT", whole},
		{"of an absent key", "GET /cache/none\nIf-Match: \"1\"", problemAnswer(404, detailAbsent, statusAbsent)},
	})
}

func TestIfMatchOfAnEntryThatHasNoETag(t *testing.T) {
	h := newHandler(t, "")
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/cache/k", nil)
	r.Header.Set("If-Match", `"1"`)
	answered, err := h.checkConditions(&exchange{w: w, r: r}, store.Version{}, new(representations), statusMiss)
	if !answered || err != nil || w.Code != 412 || !strings.Contains(w.Body.String(), "the entry has no ETag yet") || w.Header().Get("Etag") != "" {
		t.Errorf("%v, %v, %d, %s", answered, err, w.Code, w.Body)
	}
}

func TestSettingsOfReads(t *testing.T) {
	t.Run("client_no_cache ignore", func(t *testing.T) {
		s := newSite(t, "client_no_cache ignore")
		s.send("POST /cache/k\n\nv")
		s.send("GET /cache/k")
		if got := s.send("GET /cache/k\nCache-Control: no-cache"); !strings.Contains(got, "redis_proxy; hit; ttl=") {
			t.Error(got)
		}
	})
	t.Run("no local tier", func(t *testing.T) {
		s := newSite(t, "local_ttl 0")
		s.send("POST /cache/k\n\nv")
		s.send("GET /cache/k")
		if got := s.send("GET /cache/k"); !strings.Contains(got, "Cache-Status: redis_proxy; fwd=uri-miss\n") {
			t.Error(got)
		}
	})
	t.Run("cache_control", func(t *testing.T) {
		s := newSite(t, `cache_control "public, max-age=3"`)
		s.send("POST /cache/k\n\nv")
		if got := s.send("GET /cache/k"); !strings.Contains(got, "\nCache-Control: public, max-age=3\n") {
			t.Error(got)
		}
	})
	t.Run("no cache_control", func(t *testing.T) {
		s := newSite(t, `cache_control ""`)
		s.send("POST /cache/k\n\nv")
		if got := s.send("GET /cache/k"); strings.Contains(got, "Cache-Control") {
			t.Error(got)
		}
	})
}

func TestPassErrors(t *testing.T) {
	s := newSite(t, "pass_errors")
	s.run(t, []step{
		{"an absent key", "GET /cache/k", "404 Not Found\n" + statusAbsent + "\nContent-Length: 54\nContent-Type: text/plain\n\nhandle_errors: " + detailAbsent},
		{"a method", "PUT /cache/k\n\nv", "405 Method Not Allowed\nAllow: GET, HEAD, POST, OPTIONS\nContent-Length: 96\nContent-Type: text/plain\n\n" +
			"handle_errors: PUT is switched off; `methods` in the configuration of redis_proxy switches it on"},
	})
}

// others puts members of Cache-Status and headers into an answer beforehand.
type others struct{ *Handler }

func (o others) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	w.Header()["Cache-Status"] = []string{"Edge; fwd=miss"}
	return o.Handler.ServeHTTP(w, r, next)
}

func TestCacheStatusIsAddedToAList(t *testing.T) {
	s := serve(t, others{newHandler(t, "")})
	if got := s.send("GET /cache/k"); !strings.Contains(got, "Cache-Status: Edge; fwd=miss\n"+statusAbsent+"\n") {
		t.Error(got)
	}
}

func TestHitStatusRoundsUp(t *testing.T) {
	for ttl, want := range map[time.Duration]string{
		30 * time.Second:        "redis_proxy; hit; ttl=30",
		26*time.Second + 1:      "redis_proxy; hit; ttl=27",
		time.Nanosecond:         "redis_proxy; hit; ttl=1",
		0:                       "redis_proxy; hit; ttl=0",
		-5 * time.Second:        "redis_proxy; hit; ttl=0",
		600 * time.Second:       "redis_proxy; hit; ttl=600",
		600*time.Second + 1:     "redis_proxy; hit; ttl=601",
		24 * 365 * time.Hour:    "redis_proxy; hit; ttl=31536000",
		1500 * time.Millisecond: "redis_proxy; hit; ttl=2",
	} {
		if got := cacheStatus(engine.Answer{Entry: &engine.Entry{}, Source: engine.Local, TTL: ttl}, engine.Read{}); got != want {
			t.Errorf("%v: got %s, want %s", ttl, got, want)
		}
	}
}

func TestForwardStatus(t *testing.T) {
	entry := &engine.Entry{}
	for _, c := range []struct {
		answer engine.Answer
		read   engine.Read
		want   string
	}{
		{engine.Answer{Entry: entry}, engine.Read{}, "redis_proxy; fwd=uri-miss"},
		{engine.Answer{Entry: entry, Stored: true}, engine.Read{}, "redis_proxy; fwd=uri-miss; stored"},
		{engine.Answer{}, engine.Read{}, "redis_proxy; fwd=uri-miss; detail=absent"},
		{engine.Answer{Entry: entry, Stored: true, WasStale: true}, engine.Read{}, "redis_proxy; fwd=stale; stored"},
		{engine.Answer{WasStale: true}, engine.Read{}, "redis_proxy; fwd=stale; detail=absent"},
		{engine.Answer{Entry: entry, Source: engine.Local, TTL: -12 * time.Second, StaleIfError: true}, engine.Read{}, "redis_proxy; hit; ttl=-12; detail=stale-if-error"},
		{engine.Answer{Entry: entry, Stored: true, WasStale: true}, engine.Read{NoCache: true}, "redis_proxy; fwd=request; stored"},
	} {
		if got := cacheStatus(c.answer, c.read); got != c.want {
			t.Errorf("%+v %+v: got %s, want %s", c.answer, c.read, got, c.want)
		}
	}
}

func TestRequestCacheControl(t *testing.T) {
	h := &Handler{readNoCache: true}
	for _, c := range []struct {
		lines []string
		want  engine.Read
	}{
		{nil, engine.Read{}},
		{[]string{""}, engine.Read{}},
		{[]string{"no-cache"}, engine.Read{NoCache: true}},
		{[]string{" ,, NO-CACHE\t"}, engine.Read{NoCache: true}},
		{[]string{"max-age=0", "only-if-cached, no-cache"}, engine.Read{NoCache: true, LocalOnly: true}},
		{[]string{"no-cachet, xno-cache, no cache"}, engine.Read{}},
		{[]string{`ext="a, no-cache, \", only-if-cached"`}, engine.Read{}},
		{[]string{`ext="a", no-cache`}, engine.Read{NoCache: true}},
		{[]string{`ext="a, no-cache`}, engine.Read{}},
	} {
		if got := h.readOptions(c.lines); got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.lines, got, c.want)
		}
	}
}

// TestResponsesShareNoHeaderValues edits the values of one answer in place, as
// Caddy's header directive does.
func TestResponsesShareNoHeaderValues(t *testing.T) {
	h := newHandler(t, "")
	s := serve(t, h)
	s.send("POST /cache/k\nContent-Type: text/plain\n\nv")
	want := s.send("GET /cache/k")
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
	if got := s.send("GET /cache/k"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestHitAllocations bounds what a hit allocates: the array of header values.
func TestHitAllocations(t *testing.T) {
	h := newHandler(t, "")
	s := serve(t, h)
	s.send("POST /cache/k\nContent-Type: application/json\n\n{\"value\":1}")
	s.send("GET /cache/k")
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
	h := newHandler(b, "")
	value := store.Value{Data: []byte(`"` + strings.Repeat("x", 28) + `"`), Kind: store.JSON}
	if _, err := h.engine().Create(context.Background(), "k", value, "", ""); err != nil {
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
	h := parse(t, "")
	h.Namespace = uniqueNamespace(t)
	if err := h.Provision(newContext(t)); err != nil {
		t.Fatal(err)
	}
	s := serve(t, h)
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	want := problemAnswer(503, "this configuration is closing down, nothing was changed; repeat the request", "Retry-After: 1")
	s.run(t, []step{
		{"GET", "GET /cache/k", want},
		{"POST", "POST /cache/k\n\nv", want},
	})
}

func TestEngineErrors(t *testing.T) {
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, c := range []struct {
		err    error
		ctx    context.Context
		status int
		detail string
		passed bool
	}{
		{engine.ErrQueueFull, t.Context(), 503, "too many writes are waiting", false},
		{engine.ErrTimeout, t.Context(), 503, "did not get to the request in time", false},
		{engine.ErrUnavailable, t.Context(), 503, "cannot be reached", false},
		{fmt.Errorf("%w: %s", engine.ErrRefused, "OOM of user secret"), t.Context(), 503, "\"the store answers with an error, nothing was changed; the log of this server tells which\"}", false},
		{caused(engine.ErrRefused, store.Full), t.Context(), 503, "\"the store is full, nothing was changed; the log of this server tells what to do\"}", false},
		{caused(engine.ErrUnavailable, store.TLS), t.Context(), 503, "secure connection", false},
		{caused(engine.ErrMayBeApplied, store.Permission), t.Context(), 503, "lacks a right in the store: the write may have been applied", false},
		{engine.ErrTooMuchAtOnce, t.Context(), 503, "of which this was one; repeat the request", false},
		{engine.ErrMayBeApplied, t.Context(), 503, "may have been applied", false},
		{engine.ErrNotLocal, t.Context(), 504, "only-if-cached", false},
		{context.Canceled, gone, 499, "", true},
		{errors.New("broken"), t.Context(), 500, "", true},
	} {
		h := newHandler(t, "")
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/cache/k", nil).WithContext(c.ctx)
		err := h.failEngine(&exchange{w: w, r: r}, c.err)
		if c.passed {
			herr, ok := err.(caddyhttp.HandlerError)
			if !ok || herr.StatusCode != c.status || !errors.Is(herr, c.err) {
				t.Errorf("%v: got %v", c.err, err)
			}
			continue
		}
		body, _ := io.ReadAll(w.Body)
		if err != nil || w.Code != c.status || !strings.Contains(string(body), c.detail) {
			t.Errorf("%v: got %v, %d, %s", c.err, err, w.Code, body)
		}
		if retry := w.Header().Get("Retry-After"); (retry == "1") != (c.status == 503) {
			t.Errorf("%v: Retry-After is %q", c.err, retry)
		}
	}
}

// caused is an error of the engine with a cause, and with words that are not for
// clients.
func caused(err error, cause store.Cause) error {
	return fmt.Errorf("%w: %w", err, &store.CausedError{Cause: cause, Err: errors.New("said by 10.0.0.1"), Advice: "check the password"})
}

func TestEveryKindOfFailureHasAnAnswer(t *testing.T) {
	for _, kind := range engine.Kinds {
		if f, ok := failures[kind]; !ok || f.status < 499 || running.OutcomeNames[f.outcome] != string(kind) && kind != engine.KindCanceled {
			t.Errorf("%s: %+v", kind, f)
		}
	}
}

func TestEveryCauseHasADetailForClients(t *testing.T) {
	for _, cause := range store.Causes {
		if causeDetails[cause] == "" {
			t.Errorf("%s has none", cause)
		}
	}
}
