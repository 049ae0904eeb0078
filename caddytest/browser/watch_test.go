package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// listenScript collects the events of an EventSource.
const listenScript = `
	window.heard = [];
	window.source = new EventSource('/cache?watch&prefix=a/');
	for (const what of ['created', 'replaced', 'deleted', 'evicted', 'reset'])
		source.addEventListener(what, (e) => heard.push(what + ' ' + (JSON.parse(e.data).key ?? '')));
	new Promise((ready) => source.addEventListener('open', () => ready(true), {once: true}))`

// heard waits until the page heard so many events, and returns them.
func (p *page) heard(n int) string {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := eval[[]string](p, "heard")
		if len(got) >= n {
			return strings.Join(got, ", ")
		}
		if time.Now().After(end) {
			p.t.Fatalf("the page heard %v, want %d", got, n)
		}
	}
}

// listenedSite is a site with a page, whose cache may be watched.
func listenedSite(store, more string) string {
	return "encode zstd gzip\nredis_proxy {\n store " + store + "\n methods GET POST DELETE\n watch 5\n redis_timeout 1m\n" + more + "\n}\nheader /page Content-Type text/html\nrespond /page `<!doctype html><link rel=\"icon\" href=\"data:,\"><title>A page</title>`"
}

// listen opens the page, and lets it listen.
func listen(t *testing.T, s *site) *page {
	t.Helper()
	p := open(t, s.url+"/page", func(p *page) {
		p.mayAsk = s.url
		p.expect("net::ERR_", "EventSource")
	})
	if !eval[bool](p, listenScript) {
		t.Fatal("it does not open")
	}
	return p
}

// An EventSource is told of a failover, and goes on with the new primary.
func TestAnEventSourceGoesOnAfterAFailover(t *testing.T) {
	redis := redistest.StartGuarded(t)
	s := serve(t, listenedSite(redis.URL(), ""))
	p := listen(t, s)
	s.create("a/1", "1")
	if got := p.heard(1); got != "created a/1" {
		t.Fatal(got)
	}
	redis.AwaitReplicas()
	redis.Failover()
	if got := p.heard(2); got != "created a/1, reset " {
		t.Fatal(got)
	}
	s.create("a/2", "1")
	for n := 3; ; n++ {
		// A failover may end the subscription more than once.
		if got := p.heard(n); strings.HasSuffix(got, "created a/2") {
			break
		} else if !strings.HasSuffix(got, "reset ") {
			t.Fatal(got)
		}
	}
}

// An EventSource of a real browser goes on through reloads without missing anything, and is
// told when Redis was away.
func TestAnEventSourceGoesOn(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	site := func(more string) string { return listenedSite(redis.URL(), more) }
	s := serve(t, site(""))
	p := listen(t, s)
	s.create("a/1", "1")
	s.create("b/1", "1")
	if got := p.heard(1); got != "created a/1" {
		t.Fatal(got)
	}
	for i := range 3 {
		s.reload(site(fmt.Sprint("max_value_size ", 1000+i)))
		s.create(fmt.Sprint("a/while away ", i), "1") // while the browser waits to come back
		if got := p.heard(2 + i); strings.Contains(got, "reset") || !strings.HasSuffix(got, fmt.Sprint("created a/while away ", i)) {
			t.Fatalf("after %d reloads: %s", i+1, got)
		}
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := p.heard(5); !strings.HasSuffix(got, "reset ") {
		t.Fatal(got)
	}
	s.create("a/2", "1")
	if got := p.heard(6); !strings.HasSuffix(got, "reset , created a/2") || strings.Count(got, "reset") != 1 {
		t.Fatal(got)
	}
}
