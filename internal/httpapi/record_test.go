package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// counted sends a request, and returns as JSON by how much the counters of its cache grew.
func counted(t *testing.T, cache *running.Cache, s *sitetest.Site, request string) string {
	t.Helper()
	before := cache.Stats().Requests
	s.Send(request)
	more := cache.Stats().Requests
	for operation, outcomes := range more {
		for outcome := range outcomes {
			if outcomes[outcome] -= before[operation][outcome]; outcomes[outcome] == 0 {
				delete(outcomes, outcome)
			}
		}
		if len(outcomes) == 0 {
			delete(more, operation)
		}
	}
	b, err := json.Marshal(more)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRequestsAreCountedByOperationAndOutcome(t *testing.T) {
	h := sitetest.Handler(t, "methods GET HEAD POST PUT DELETE\nmax_value_size 10\nmax_key_size 10\nmax_queue_bytes 100")
	s := sitetest.Serve(t, h)
	for _, c := range []struct{ request, want string }{
		{"POST /cache/k\n\nv", `{"post":{"created":1}}`},
		{"POST /cache/k\n\nv", `{"post":{"conflict":1}}`},
		{"POST /cache\nContent-Type: application/json\n\n{\"key\":1}", `{"post":{"bad_request":1}}`},
		{"GET /cache/k", `{"get":{"store":1}}`},
		{"GET /cache/k", `{"get":{"local":1}}`},
		{"HEAD /cache/k", `{"get":{"local":1}}`},
		{"GET /cache/k\nCache-Control: no-cache", `{"get":{"store":1}}`},
		{"GET /cache/k\nIf-None-Match: *", `{"get":{"local":1}}`},
		{"GET /cache/k\nIf-Match: \"1\"", `{"get":{"local":1}}`},
		{"GET /cache/k\nRange: bytes=9-", `{"get":{"local":1}}`},
		{"GET /cache/x", `{"get":{"absent":1}}`},
		{"GET /cache/x\nCache-Control: only-if-cached", `{"get":{"not_local":1}}`},
		{"GET /cache/too-long-a-key", `{"get":{"bad_request":1}}`},
		{"GET /cache?key=k", `{"batch_get":{"local":1}}`},
		{"GET /cache?key=k&key=x", `{"batch_get":{"store":1}}`},
		{"GET /cache", `{"batch_get":{"bad_request":1}}`},
		{"PUT /cache/k\n\nw", `{"put":{"replaced":1}}`},
		{"PUT /cache/k\nIf-Match: \"1\"\n\nw", `{"put":{"precondition_failed":1}}`},
		{"PUT /cache/k\n\n12345678901", `{"put":{"too_large":1}}`},
		{"PUT /cache/k\nContent-Encoding: gzip\n\nv", `{"put":{"unsupported_type":1}}`},
		{"PUT /cache/k\nOrigin: https://other.test\n\nv", `{"put":{"forbidden":1}}`},
		{"DELETE /cache/k", `{"delete":{"deleted":1}}`},
		{"DELETE /cache/k", `{"delete":{"absent":1}}`},
		{
			"POST /cache\nContent-Type: application/x-ndjson\n\n{\"key\":\"b\",\"value\":1}\n{\"key\":\"b\",\"value\":1}\n{\"op\":\"get\",\"key\":\"b\"}\n{\"op\":\"delete\",\"key\":\"b\"}\n{\"op\":\"get\",\"key\":\"b\"}\n{\"op\":\"put\",\"key\":\"b\"}\n\nx",
			`{"bulk":{"streamed":1},"bulk_create":{"conflict":1,"created":1},"bulk_delete":{"deleted":1},"bulk_get":{"absent":1,"store":1},"bulk_other":{"bad_request":1},"bulk_put":{"bad_request":1}}`,
		},
		{"POST /cache\nContent-Type: application/x-ndjson\nIf-Match: *\n\n{}", `{"bulk":{"bad_request":1}}`},
		{"OPTIONS /cache/k", `{"other":{"options":1}}`},
		{"PATCH /cache/k", `{"other":{"not_allowed":1}}`},
		{"DELETE /cache", `{"delete":{"not_allowed":1}}`},
		{"GET //cache/k", `{"other":{"bad_path":1}}`},
		{"GET /elsewhere", `{}`},
	} {
		if got := counted(t, sitetest.CacheOf(t, h), s, c.request); got != c.want {
			t.Errorf("%s is counted as %s, want %s", c.request, got, c.want)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	h := sitetest.Handler(t, "store redis://127.0.0.1:1")
	s := sitetest.Serve(t, h)
	for request, want := range map[string]string{
		"GET /cache/k":       `{"get":{"unavailable":1}}`,
		"POST /cache/k\n\nv": `{"post":{"unavailable":1}}`,
	} {
		if got := counted(t, sitetest.CacheOf(t, h), s, request); got != want {
			t.Errorf("%s is counted as %s, want %s", request, got, want)
		}
	}
}

func TestAFullQueueIsCounted(t *testing.T) {
	redis := redistest.Start(t)
	h := sitetest.Handler(t, "store "+redis.URL()+"\nmax_queue_jobs 1\nredis_timeout 30s")
	s := sitetest.Serve(t, h)
	s.Send("POST /cache/k\n\nv")
	redis.Pause()
	first := make(chan string)
	go func() { first <- s.Send("POST /cache/first\n\nv") }()
	for sitetest.CacheOf(t, h).Stats().Engine.QueueJobs == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := counted(t, sitetest.CacheOf(t, h), s, "POST /cache/second\n\nv"); got != `{"post":{"queue_full":1}}` {
		t.Error(got)
	}
	redis.Resume()
	if got := <-first; !strings.HasPrefix(got, "201 ") {
		t.Error(got)
	}
}

func TestABodyWithoutRoomIsCounted(t *testing.T) {
	h := sitetest.Handler(t, "body_timeout 10ms")
	other, err := sitetest.CacheOf(t, h).Bodies.Admit(t.Context(), netip.Addr{}, *h.MaxQueueBytes, running.BodyWait{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.End()
	s := sitetest.Serve(t, h)
	if got := counted(t, sitetest.CacheOf(t, h), s, "POST /cache/k\n\n"+strings.Repeat("v", running.SmallBody+1)); got != `{"post":{"queue_full":1}}` {
		t.Error(got)
	}
}

func TestAStoppedEngineIsCounted(t *testing.T) {
	h := sitetest.Parse(t, "namespace stopped")
	if err := h.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	cache := sitetest.CacheOf(t, h)
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, cache, sitetest.Serve(t, h), "GET /cache/k"); got != `{"get":{"closed":1}}` {
		t.Error(got)
	}
}

func TestNoCacheRequestsAreCounted(t *testing.T) {
	for settings, want := range map[string]uint64{"": 2, "client_no_cache ignore": 0} {
		h := sitetest.Handler(t, settings+"\nnamespace "+strings.ReplaceAll("no-cache "+settings, " ", "-"))
		s := sitetest.Serve(t, h)
		s.Send("GET /cache/k\nCache-Control: no-cache")
		s.Send("GET /cache?key=k\nCache-Control: no-cache")
		s.Send("GET /cache/k")
		if got := sitetest.CacheOf(t, h).Stats().NoCacheRequests; got != want {
			t.Errorf("%q: %d, want %d", settings, got, want)
		}
	}
}

// exposed sends a request. It returns the placeholders after the request, and as a
// deferred header directive sees them.
func exposed(t *testing.T, h *redisproxy.Handler, r *http.Request) (after, deferred string) {
	t.Helper()
	repl := caddy.NewReplacer()
	w := &deferredHeader{ResponseRecorder: httptest.NewRecorder()}
	w.seen = func() string {
		return repl.ReplaceAll("{http.redis_proxy.status} {http.redis_proxy.key} {http.redis_proxy.ttl}", "-")
	}
	if err := h.ServeHTTP(w, caddyhttp.PrepareRequest(r, repl, w, nil), nil); err != nil {
		t.Error(err)
	}
	return w.seen(), w.deferred
}

// deferredHeader reads the placeholders when the answer begins.
type deferredHeader struct {
	*httptest.ResponseRecorder
	seen     func() string
	deferred string
}

func (d *deferredHeader) WriteHeader(status int) {
	d.deferred = d.seen()
	d.ResponseRecorder.WriteHeader(status)
}

func TestPlaceholdersOfRequests(t *testing.T) {
	h := sitetest.Handler(t, "placeholders\nlocal_ttl 1h")
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/cache/k", "", "absent k -"},
		{"POST", "/cache", "key=k&value=v", "created k -"},
		{"POST", "/cache/k", "value=v", "conflict k -"},
		{"GET", "/cache/k", "", "store k -"},
		{"GET", "/cache/k", "", "local k 3600"},
		{"GET", "/cache?key=k", "", "local - -"},
		{"GET", "/cache/%01", "", "bad_request - -"},
		{"DELETE", "/cache/k", "", "not_allowed - -"},
	} {
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if after, deferred := exposed(t, h, r); after != c.want || deferred != c.want {
			t.Errorf("%s %s: %q, and %q when the answer began; want %q", c.method, c.target, after, deferred, c.want)
		}
	}
}

func TestPlaceholdersAreOffByDefault(t *testing.T) {
	after, _ := exposed(t, sitetest.Handler(t, ""), httptest.NewRequest("GET", "/cache/k", nil))
	if after != "- - -" {
		t.Error(after)
	}
}
