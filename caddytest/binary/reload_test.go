package binary

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// A reload of Caddy itself breaks some kept-alive connections: a request that arrives while
// an idle connection is being closed is lost. So the test compares the cache with a plain
// route that has the same number of clients, requests and connections.
func TestReloadsUnderLoadBreakNothing(t *testing.T) {
	reloads := usually(50, 500)
	redis := redistest.Start(t)
	c := startCaddy(t, redis, "", "max_keys 1000000\nlocal_ttl 10m")
	inspector := newInspector(t, redis)
	configs := []string{
		c.caddyfile("", "max_keys 1000000\nlocal_ttl 10m"),
		c.caddyfile("", "max_keys 2000000\nlocal_ttl 20m\ncache_control max-age=1"),
	}
	directives := []string{"no-cache", "max-age=1"}
	watcher := newClient(t, c, 1)
	watcher.http.Transport.(*http.Transport).DisableKeepAlives = true
	if a := watcher.send(http.MethodPost, "/cache/hot", "value"); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	if a := watcher.send(http.MethodGet, "/cache/hot", ""); a.status != http.StatusOK {
		t.Fatal(a)
	}
	subscriber := inspector.subscriber()

	cached, plain := newTraffic(t, c, "/cache/"), newTraffic(t, c, "/plain/")
	stop := background(t, append(cached.clients(), plain.clients()...)...)
	before := cached.sent.Load()
	await(t, "the traffic flows", func() bool { return cached.sent.Load() > before+100 })
	began := time.Now()
	for n := range reloads {
		c.load(configs[n%2])
		between := cached.sent.Load() + 40
		await(t, "the traffic goes on", func() bool { return cached.sent.Load() >= between })
		a := watcher.send(http.MethodGet, "/cache/hot", "")
		if got, want := a.header.Get("Cache-Control"), directives[n%2]; got != want {
			t.Errorf("after reload %d Cache-Control is %q, want %q", n+1, got, want)
		}
		if s := a.header.Get("Cache-Status"); !strings.Contains(s, "; hit;") {
			t.Errorf("after reload %d Cache-Status is %q: the local tier is another one", n+1, s)
		}
		if s := inspector.subscriber(); s != subscriber {
			t.Errorf("after reload %d the subscriber of events is %s, and was %s: the engine is another one", n+1, s, subscriber)
		}
	}
	took := time.Since(began)
	stop()

	t.Logf("%d reloads in %s; cache: %s; plain: %s", reloads, took.Round(time.Millisecond), cached, plain)
	cached.compare(t, plain)
	inspector.settle()
	s := inspector.look()
	for _, tr := range []*traffic{cached, plain} {
		for _, wrong := range tr.wrong {
			t.Error(wrong)
		}
	}
	for _, key := range cached.created {
		if s.entries[key].value != key {
			t.Errorf("the acknowledged %q is lost", key)
		}
	}
	// One fetch raised the rank before the reloads, and all later reads were local.
	if rank := s.entries["hot"].rank; rank != 1 {
		t.Errorf("the key in the local tier has rank %d, want 1: a reload lost the local tier", rank)
	}
}

// subscriber returns the ids of the connections that are subscribed to events. An engine has
// one such connection while it lives.
func (i *inspector) subscriber() string {
	i.t.Helper()
	list, err := i.client.Do(i.t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		i.t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(list) {
		id, _, _ := strings.Cut(line, " ")
		ids = append(ids, id)
	}
	if len(ids) != 1 {
		i.t.Errorf("%d connections are subscribed to events, want one", len(ids))
	}
	return strings.Join(ids, " ")
}

// traffic is a steady load on one route, over HTTP/1.1 and HTTP/2.
type traffic struct {
	route        string
	http1, http2 *client
	sent         atomic.Int64

	mu      sync.Mutex
	http1ok int
	http2ok int
	broken1 int
	broken2 int
	created []string
	wrong   []string
}

const (
	http1Clients = 8
	http2Clients = 2
)

func newTraffic(t testing.TB, c *caddy, route string) *traffic {
	return &traffic{
		route: route,
		http1: newClient(t, c, http1Clients),
		http2: newClient(t, c, http2Clients).overHTTP2(),
	}
}

// clients returns the function of each client.
func (tr *traffic) clients() []func(<-chan struct{}) {
	clients := make([]func(<-chan struct{}), http1Clients+http2Clients)
	for n := range clients {
		clients[n] = func(stop <-chan struct{}) {
			for i := 0; ; i++ {
				tr.send(n >= http1Clients, fmt.Sprintf("client%d-%d", n, i), i%2 == 0)
				select {
				case <-stop:
					return
				case <-time.After(5*time.Millisecond + rand.N(10*time.Millisecond)): // not in step with other clients
				}
			}
		}
	}
	return clients
}

func (tr *traffic) send(http2 bool, key string, post bool) {
	c, ok, broken := tr.http1, &tr.http1ok, &tr.broken1
	if http2 {
		c, ok, broken = tr.http2, &tr.http2ok, &tr.broken2
	}
	var a answer
	if post {
		a = c.send(http.MethodPost, tr.route+key, key)
	} else {
		a = c.send(http.MethodGet, tr.route+"hot", "")
	}
	tr.sent.Add(1)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case a.err != nil:
		*broken++
		return
	case post && a.status == http.StatusCreated:
		tr.created = append(tr.created, key)
	case a.status != http.StatusOK:
		tr.wrong = append(tr.wrong, fmt.Sprintf("%s: %s", tr.route, a))
	}
	*ok++
}

// compare fails the test if the route breaks more requests than the other one. The two
// numbers differ by chance. For independent events, they differ by about the root of their
// sum. These events come in clusters, one for each reload. So five times as much is allowed,
// and at least five. A cache that broke one connection in four at every reload would break
// 100 more.
func (tr *traffic) compare(t testing.TB, other *traffic) {
	t.Helper()
	for _, n := range []struct {
		protocol     string
		broken, base int
	}{
		{"HTTP/1.1", tr.broken1, other.broken1},
		{"HTTP/2", tr.broken2, other.broken2},
	} {
		if margin := 5 + 5*math.Sqrt(float64(n.broken+n.base)); float64(n.broken) > float64(n.base)+margin {
			t.Errorf("%d requests over %s to the cache got no answer, %d to a plain route", n.broken, n.protocol, n.base)
		}
	}
}

func (tr *traffic) String() string {
	return fmt.Sprintf("HTTP/1.1 %d answered, %d broken; HTTP/2 %d answered, %d broken",
		tr.http1ok, tr.broken1, tr.http2ok, tr.broken2)
}
