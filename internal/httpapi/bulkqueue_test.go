package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// heldSite is a site over a Redis that answers nothing until it is released.
type heldSite struct {
	*sitetest.Site
	handler *redisproxy.Handler
	cache   *running.Cache
	hold    chan struct{}
}

func holdSite(t *testing.T, settings string) *heldSite {
	t.Helper()
	proxy := faultproxy.Start(t, redistest.Start(t).Addr)
	h := sitetest.Parse(t, "store "+proxy.URL()+"\n"+settings)
	h.Namespace = sitetest.Namespace(t)
	if err := h.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	s := &heldSite{Site: sitetest.Serve(t, h), handler: h, cache: sitetest.CacheOf(t, h), hold: make(chan struct{})}
	s.Send("POST /cache/first\n\nv") // sets the limits, and loads the scripts
	proxy.Rule(func() faultproxy.Fault { return faultproxy.Fault{Hold: s.hold} })
	return s
}

// awaitQueued waits until n writes are queued.
func (s *heldSite) awaitQueued(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(sitetest.Patience); ; time.Sleep(time.Millisecond) {
		if got := s.cache.Engine.Stats().QueueJobs; got == n {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d writes are queued, want %d", got, n)
		}
	}
}

func TestAFullQueueMakesABulkRequestWaitAndSinglePOSTsGetThrough(t *testing.T) {
	s := holdSite(t, "max_queue_jobs 8\nbody_timeout 1h")
	b := openBulk(t, s.Site, 1)
	go func() {
		for n := range 40 {
			fmt.Fprintf(b.body, "{\"key\":\"bulk%d\",\"value\":1}\n", n)
		}
		b.body.Close()
	}()
	s.awaitQueued(t, 4)
	posts := make(chan string)
	for n := range 4 {
		single := *s.Site
		go func() { posts <- single.Send(fmt.Sprintf("POST /cache/single%d\n\nv", n)) }()
	}
	s.awaitQueued(t, 8)
	close(s.hold)
	for range 4 {
		if got := <-posts; !strings.HasPrefix(got, "201") {
			t.Errorf("a single POST got %s", got)
		}
	}
	for n := range 40 {
		if got, want := b.answer(), fmt.Sprintf(`{"key":"bulk%d","status":201,"etag":"<etag>"}`, n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := s.handler.Cleanup(); err != nil {
		t.Error(err)
	}
}

// TestABulkRequestEndsWithTheEngine: each line that was read gets an answer, and the last
// answer says where the request ended.
func TestABulkRequestEndsWithTheEngine(t *testing.T) {
	s := holdSite(t, "max_queue_jobs 8\nbody_timeout 1h\ndrain_timeout 10ms")
	b := openBulk(t, s.Site, 1)
	go func() {
		for n := range 40 {
			fmt.Fprintf(b.body, "{\"key\":\"bulk%d\",\"value\":1}\n", n)
		}
	}()
	s.awaitQueued(t, 4)
	if err := s.handler.Cleanup(); err != nil {
		t.Error(err)
	}
	var got []string
	for answer := b.answer(); answer != ""; answer = b.answer() {
		got = append(got, answer)
	}
	close(s.hold)
	if len(got) != 5 {
		t.Fatalf("there are %d answers: %q", len(got), got)
	}
	for n, answer := range got[:4] {
		if !strings.HasPrefix(answer, fmt.Sprintf(`{"line":%d,"key":"bulk%d","status":503,`, n+1, n)) {
			t.Errorf("line %d got %s", n+1, answer)
		}
	}
	if want := `{"line":5,"key":"bulk4","status":503,"detail":"this configuration is closing down, nothing was changed; repeat the request; this line and those behind it were not carried out","ended":true}`; got[4] != want {
		t.Errorf("the last answer is %s", got[4])
	}
}
