package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// stream is a client that watches.
type stream struct {
	t      *testing.T
	lines  *bufio.Reader
	answer *http.Response
	leave  context.CancelFunc
	id     string // the last one
	first  string // the first line
	// mayHear is an event that may come.
	mayHear string
}

// watch opens a stream. The header lines are names and values in turn.
func watch(t *testing.T, s *sitetest.Site, query string, headers ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sitetest.Patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/cache?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w := &stream{t: t, lines: bufio.NewReader(answer.Body), answer: answer, leave: cancel}
	t.Cleanup(func() {
		cancel()
		answer.Body.Close()
	})
	if answer.StatusCode == http.StatusOK {
		if w.first, err = w.lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		for line := "x"; line != "\n"; { // up to the first id
			if line, err = w.lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				w.id = strings.TrimSpace(id)
			}
		}
	}
	return w
}

// next returns the next event, as its name and data.
func (w *stream) next() string {
	w.t.Helper()
	var what, data string
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "event":
			what = value
		case "data":
			data = sitetest.ETagPattern.ReplaceAllString(strings.ReplaceAll(value, `\"`, `"`), `<etag>`)
		case "id":
			w.id = value
		case "":
			if line == "" && what != "" {
				return what + " " + data
			}
		}
	}
}

func (w *stream) expect(events ...string) {
	w.t.Helper()
	for _, want := range events {
		got := w.next()
		if got == w.mayHear {
			got = w.next()
		}
		if got != want {
			w.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func send(t *testing.T, s *sitetest.Site, status string, requests ...string) {
	t.Helper()
	for _, request := range requests {
		if got := s.Send(request); !strings.HasPrefix(got, status) {
			t.Fatalf("%s: %s", request, got)
		}
	}
}

func createdEvent(key string) string { return fmt.Sprintf(`created {"key":"%s","etag":"<etag>"}`, key) }

func onStores(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("embedded", func(t *testing.T) { test(t, "store embedded\n") })
	t.Run("redis", func(t *testing.T) { test(t, "store "+redistest.Start(t).URL()+"\n") })
}

func TestWatchersHearOfTheChangesInTheirOrder(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		h := sitetest.Handler(t, store+"watch 10\nmethods GET HEAD POST PUT DELETE\nmax_keys 3")
		s := sitetest.Serve(t, h)
		send(t, s, "201", "POST /cache/b/0\n\nx")
		figures := func() engine.Stats { return sitetest.CacheOf(t, h).Stats().Engine }
		all, some := watch(t, s, "watch"), watch(t, s, "watch&prefix=a/", "Accept", "text/event-stream")
		if got := all.answer.Header; got.Get("Content-Type") != "text/event-stream" || got.Get("Cache-Control") != "no-store" || !strings.HasPrefix(all.first, ":") {
			t.Errorf("%v, %q", got, all.first)
		}
		send(t, s, "201", "POST /cache/a/1\n\nx", "PUT /cache/a/2\n\nx")
		send(t, s, "200", "PUT /cache/a/1\n\ny")
		send(t, s, "409", "POST /cache/a/1\n\ny")
		send(t, s, "201", "POST /cache/a/3\n\nx")
		send(t, s, "204", "DELETE /cache/a/3")
		all.mayHear = createdEvent("b/0") // the event of a write may come after its answer
		rest := []string{createdEvent("a/3"), `deleted {"key":"a/3"}`}
		all.expect(append([]string{createdEvent("a/1"), createdEvent("a/2"), `replaced {"key":"a/1","etag":"<etag>"}`, `evicted {"key":"b/0"}`}, rest...)...)
		some.expect(append([]string{createdEvent("a/1"), createdEvent("a/2"), `replaced {"key":"a/1","etag":"<etag>"}`}, rest...)...)
		if stats := figures(); stats.Watchers != 2 {
			t.Errorf("%+v", stats)
		}
		all.leave()
		some.leave()
		eventually(t, "nobody watches", func() bool { return figures().Watchers == 0 })
		if n := figures().WatchEvents; n < 11 || n > 12 {
			t.Errorf("%d events are counted", n)
		}
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(sitetest.Patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestAWatcherThatComesBackMissesNothingOrIsTold(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		s := sitetest.New(t, store+"watch 10\nmethods GET POST PUT")
		w := watch(t, s, "watch&prefix=a")
		before := w.id
		send(t, s, "201", "POST /cache/a\n\nx")
		w.expect(createdEvent("a"))
		after := w.id
		w.leave()
		send(t, s, "201", "POST /cache/a2\n\nx", "POST /cache/b\n\nx")

		watch(t, s, "watch&prefix=a", "Last-Event-ID", before).expect(createdEvent("a"), createdEvent("a2"))
		watch(t, s, "watch&prefix=a", "Last-Event-ID", after).expect(createdEvent("a2"))
		for _, id := range []string{"x", "x-1", after + "9", strings.TrimRight(after, "0123456789") + "0"} {
			w := watch(t, s, "watch&prefix=a", "Last-Event-ID", id)
			w.expect("reset {}")
			again := watch(t, s, "watch&prefix=a", "Last-Event-ID", w.id)
			send(t, s, "20", "PUT /cache/a3\n\nx")
			again.next() // no reset any more
			if got := w.next(); !strings.Contains(got, "a3") {
				t.Error(got)
			}
		}
	})
}

func TestTenantsHearOfTheirOwnKeys(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		s := sitetest.New(t, store+"watch 10\nkey_prefix {http.request.host}/")
		a := watch(t, s, "watch", "Host", "a.test")
		b := watch(t, s, "watch&prefix=k", "Host", "b.test")
		send(t, s, "201", "POST /cache/k1\nHost: a.test\n\nx", "POST /cache/k1\nHost: b.test\n\nx", "POST /cache/j\nHost: b.test\n\nx",
			"POST /cache/k2\nHost: a.test\n\nx", "POST /cache/k2\nHost: b.test\n\nx")
		a.expect(createdEvent("k1"), createdEvent("k2"))
		b.expect(createdEvent("k1"), createdEvent("k2"))
	})
}

func TestWhoMayNotWatchIsToldWhy(t *testing.T) {
	s := sitetest.New(t, "")
	if got, want := s.Send("GET /cache?watch&prefix=a"), sitetest.Problem(400, "watching is switched off: `watch` is not in the configuration of redis_proxy"); got != want {
		t.Error(got)
	}
	s = sitetest.New(t, "watch 1\nnamespace one")
	for request, detail := range map[string]string{
		"GET /cache?watch&key=a":            "watch takes prefix alone; leave key, limit and cursor out",
		"GET /cache?watch&watch":            "the query has watch twice; send it once",
		"GET /cache?watch&prefix=%00":       "no key begins with this prefix: it is not valid UTF-8, or has a control character",
		"HEAD /cache?watch&limit=1&prefix=": "",
	} {
		want := sitetest.Problem(400, detail)
		if got := s.Send(request); got != want && detail != "" || !strings.HasPrefix(got, "400 ") {
			t.Errorf("%s: %s", request, got)
		}
	}
	if got := s.Send("GET /cache?watch\nAccept: application/json"); got != sitetest.Problem(406, "a watch is answered as text/event-stream; send Accept: text/event-stream") {
		t.Error(got)
	}
	const head = "200 OK\nCache-Control: no-store\nContent-Type: text/event-stream\nX-Accel-Buffering: no\nX-Content-Type-Options: nosniff\n\n"
	if got := s.Send("HEAD /cache?watch"); got != head {
		t.Error(got)
	}
	w := watch(t, s, "watch")
	const detail = "as many clients watch as may at the same time (`watch` in the configuration of redis_proxy); try again later"
	if got := s.Send("GET /cache?watch"); got != sitetest.Problem(503, detail, "Retry-After: 1") {
		t.Error(got)
	}
	w.leave()
	eventually(t, "there is room again", func() bool { return watch(t, s, "watch").answer.StatusCode == http.StatusOK })
}

// Whatever may be missing is told by one reset, and nothing else is.
func TestAWatcherIsToldWhenEventsMayBeMissing(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	other := sitetest.Handler(t, "store "+redis.URL()+"\nmethods GET POST\nnamespace cache")
	s := sitetest.New(t, "store "+redis.URL()+"\nmethods GET POST\nwatch 10\nnamespace cache")
	send(t, s, "201", "POST /cache/before\n\nx")
	w := watch(t, s, "watch&prefix=k")
	send(t, s, "201", "POST /cache/ka\n\nx")
	w.expect(createdEvent("ka"))

	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	w.expect("reset {}")
	send(t, s, "201", "POST /cache/kb\n\nx")
	send(t, sitetest.Serve(t, other), "201", "POST /cache/kc\n\nx")
	w.expect(createdEvent("kb"), createdEvent("kc"))

	if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	w.expect("reset {}") // no request shows it
	send(t, s, "201", "POST /cache/kd\n\nx")
	w.expect(createdEvent("kd"))
}

// A client that takes nothing is cut off, and holds nobody up.
func TestASlowWatcherIsDroppedAndOthersAreNot(t *testing.T) {
	h := sitetest.Handler(t, "watch 10\nmethods GET PUT\nmax_keys 10")
	s := sitetest.Serve(t, h)
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := io.WriteString(conn, "GET /cache?watch HTTP/1.1\r\nHost: cache.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	figures := func() engine.Stats { return sitetest.CacheOf(t, h).Stats().Engine }
	eventually(t, "it watches", func() bool { return figures().Watchers == 1 })
	w := watch(t, s, "watch")
	long := strings.Repeat("x", 490)
	for n := 0; figures().WatchersDropped == 0; n++ {
		write := store.Write{Op: store.Put, Key: fmt.Sprintf("%s%010d", long, n%10), Value: store.Value{Data: []byte("v")}}
		if _, err := sitetest.CacheOf(t, h).Engine.Write(t.Context(), write); err != nil {
			t.Fatal(err)
		}
		if n%200 == 199 { // the other one keeps up
			for range 200 {
				if got := w.next(); !strings.HasPrefix(got, "created ") && !strings.HasPrefix(got, "replaced ") {
					t.Fatalf("%.60s after %d events", got, n)
				}
			}
		}
	}
	if stats := figures(); stats.WatchersDropped != 1 {
		t.Errorf("%+v", stats)
	}
	eventually(t, "its stream ends", func() bool { return figures().Watchers == 1 })
}

func TestAStreamEndsWithItsConfiguration(t *testing.T) {
	h := sitetest.Parse(t, "watch 10")
	h.Namespace = sitetest.Namespace(t)
	if err := h.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	w := watch(t, sitetest.Serve(t, h), "watch")
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if got := w.next(); got != "EOF" {
		t.Error(got)
	}
}

func TestWatchersHearThatAnEntryExpired(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		s := sitetest.New(t, store+"watch 10")
		w := watch(t, s, "watch")
		send(t, s, "201", "POST /cache/a?ttl=1\n\nx")
		w.expect(createdEvent("a"), `expired {"key":"a"}`)
	})
}
