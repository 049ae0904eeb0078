package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// bulkStream is a bulk request whose body is still being sent.
type bulkStream struct {
	t       *testing.T
	body    *io.PipeWriter
	cancel  context.CancelFunc
	answers *bufio.Scanner
	err     chan error
	resp    chan *http.Response
}

// openBulk begins a bulk request over a version of HTTP.
func openBulk(t *testing.T, s *sitetest.Site, version int) *bulkStream {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(version == 1)
	transport.Protocols.SetUnencryptedHTTP2(version == 2)
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), sitetest.Patience)
	body, to := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr+"/cache", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	b := &bulkStream{t: t, body: to, cancel: cancel, err: make(chan error, 1), resp: make(chan *http.Response, 1)}
	t.Cleanup(b.leave)
	go func() {
		resp, err := transport.RoundTrip(req)
		b.err <- err
		b.resp <- resp
	}()
	return b
}

// leave breaks the request off. The transport notices an ended context only where it waits
// for the server, not where it waits for the body.
func (b *bulkStream) leave() {
	b.cancel()
	b.body.CloseWithError(context.Canceled)
}

func (b *bulkStream) send(lines string) {
	b.t.Helper()
	if _, err := io.WriteString(b.body, lines); err != nil {
		b.t.Fatal(err)
	}
}

// answer returns the next line of the answer, and "" after the last one.
func (b *bulkStream) answer() string {
	b.t.Helper()
	if b.answers == nil {
		if err := <-b.err; err != nil {
			b.t.Fatal(err)
		}
		resp := <-b.resp
		b.t.Cleanup(func() { resp.Body.Close() })
		b.answers = bufio.NewScanner(resp.Body)
		b.answers.Buffer(nil, 64<<20)
	}
	if b.answers.Scan() {
		return sitetest.ETagPattern.ReplaceAllString(strings.ReplaceAll(b.answers.Text(), `\"`, `"`), "<etag>")
	}
	if err := b.answers.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func eachVersion(t *testing.T, test func(t *testing.T, version int)) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) { test(t, version) })
	}
}

func TestABulkRequestIsAnsweredWhileItsBodyArrives(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		b := openBulk(t, sitetest.New(t, ""), version)
		for n := range 3 {
			b.send(fmt.Sprintf("{\"key\":\"k%d\",\"value\":1}\n", n))
			if got, want := b.answer(), fmt.Sprintf(`{"key":"k%d","status":201,"etag":"<etag>"}`, n); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		b.body.Close()
		if got := b.answer(); got != "" {
			t.Errorf("at the end comes %s", got)
		}
	})
}

// TestBulkRequestsInBoundedMemory: 100,000 lines of 1 KiB are 100 MiB. Over HTTP/2 it sends
// fewer, which takes less time.
func TestBulkRequestsInBoundedMemory(t *testing.T) {
	const maxHeap = 24 << 20
	h := sitetest.Handler(t, "max_keys 1000\nlocal_ttl 0s")
	eachVersion(t, func(t *testing.T, version int) {
		b := openBulk(t, sitetest.Serve(t, h), version)
		value := strings.Repeat("0123456789abcdef", 64)
		lines := 100_000
		if version == 2 {
			lines = 20_000
		}
		base, highest := liveHeap(), uint64(0)
		go func() {
			for n := range lines {
				if _, err := fmt.Fprintf(b.body, "{\"key\":\"%d-%d\",\"value\":\"%s\"}\n", version, n, value); err != nil {
					t.Error(err)
					return
				}
			}
			b.body.Close()
		}()
		for n := range lines {
			if got, want := b.answer(), fmt.Sprintf(`{"key":"%d-%d","status":201,"etag":"<etag>"}`, version, n); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			if n%10_000 == 9_999 {
				highest = max(highest, liveHeap())
			}
		}
		if got := b.answer(); got != "" {
			t.Errorf("at the end comes %s", got)
		}
		t.Logf("%d KiB more on the heap, with 1,000 entries in the embedded store", (int64(highest)-int64(base))>>10)
		if highest > base+maxHeap {
			t.Errorf("%d MiB more on the heap", (highest-base)>>20)
		}
	})
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAClientMayReadAfterItHasSentAll has more answers than sockets hold. It also sends a
// line too many.
func TestAClientMayReadAfterItHasSentAll(t *testing.T) {
	const creates, gets = 20_000, 6
	eachVersion(t, func(t *testing.T, version int) {
		s := sitetest.New(t, "max_keys 1000\nmethods GET POST PUT")
		large := strings.Repeat("x", 1<<20-2)
		b := openBulk(t, s, version)
		for n := range creates / 1000 {
			var lines strings.Builder
			for m := range 1000 {
				fmt.Fprintf(&lines, "{\"key\":\"%d\",\"value\":%d}\n", 1000*n+m, m)
			}
			b.send(lines.String())
		}
		b.send("{\"op\":\"put\",\"key\":\"large\",\"value\":\"" + large + "\"}\n")
		b.send(strings.Repeat("{\"op\":\"get\",\"key\":\"large\"}\n", gets))
		b.send(strings.Repeat("\n", 100_000-creates-1-gets) + "{\"key\":\"over\",\"value\":1}\n")
		// More than buffers on the way hold. Over HTTP/2, net/http takes no more while answers
		// wait for which the client has no room.
		if version == 1 {
			for range 16 {
				b.send(strings.Repeat("{\"key\":\"over\",\"value\":1}\n", 40_000))
			}
		}
		for n := range creates {
			if got, want := b.answer(), fmt.Sprintf(`{"key":"%d","status":201,"etag":"<etag>"}`, n); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		b.answer() // of the put
		for range gets {
			if got, want := b.answer(), `{"key":"large","status":200,"value":"`+large+`","etag":"<etag>"}`; got != want {
				t.Fatalf("got %.100s", got)
			}
		}
		if got, want := b.answer(), `{"line":100001,"status":413,"detail":"a bulk request has at most 100,000 lines; this line and those behind it were not carried out","ended":true}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := b.answer(); got != "" {
			t.Errorf("at the end comes %s", got)
		}
		if got := s.Send("GET /cache/over"); !strings.HasPrefix(got, "404") {
			t.Errorf("a line too many was carried out: %s", got)
		}
	})
}

// holdsNothing waits until no bulk request runs and no write is queued.
func holdsNothing(t *testing.T, h *redisproxy.Handler) *running.Cache {
	t.Helper()
	c := sitetest.CacheOf(t, h)
	for end := time.Now().Add(sitetest.Patience); c.Bulk.Streams() > 0 || c.Engine.Stats().QueueJobs > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bulk requests run, %d writes are queued", c.Bulk.Streams(), c.Engine.Stats().QueueJobs)
		}
	}
	if c.Bodies.Stats().Bytes != 0 {
		t.Errorf("%d bytes are held for bodies", c.Bodies.Stats().Bytes)
	}
	return c
}

func TestAClientThatLeavesHoldsNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		h := sitetest.Handler(t, "")
		s := sitetest.Serve(t, h)
		b := openBulk(t, s, version)
		b.send("{\"key\":\"answered\",\"value\":1}\n")
		b.answer()
		// A line in its room among the arriving bodies, which would be valid as it is.
		b.send(`{"key":"cut","value":1}` + strings.Repeat(" ", 100_000))
		b.leave()
		holdsNothing(t, h)
		if got := s.Send("GET /cache/answered"); !strings.HasPrefix(got, "200") {
			t.Errorf("what was answered is gone: %s", got)
		}
		if got := s.Send("GET /cache/cut"); !strings.HasPrefix(got, "404") {
			t.Errorf("a line that was cut off was carried out: %s", got)
		}
	})
}

// TestAClientThatDoesNotReadIsLeft asks for far more than sockets and answers hold.
func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		h := sitetest.Handler(t, "body_timeout 300ms")
		s := sitetest.Serve(t, h)
		s.Send("POST /cache/large\n\n" + strings.Repeat("x", 1<<20))
		base := liveHeap()
		b := openBulk(t, s, version)
		ended := make(chan error)
		go func() {
			for {
				if _, err := io.WriteString(b.body, "{\"op\":\"get\",\"key\":\"large\"}\n"); err != nil {
					ended <- err
					return
				}
			}
		}()
		holdsSome := sitetest.CacheOf(t, h)
		for end := time.Now().Add(sitetest.Patience); holdsSome.Bulk.Streams() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the request does not begin")
			}
		}
		holdsNothing(t, h)
		b.leave()
		<-ended
		if grown := int64(liveHeap()) - int64(base); grown > 24<<20 {
			t.Errorf("%d MiB are left on the heap", grown>>20)
		}
	})
}

func TestABulkRequestThatPausesEndsWithALineThatSaysSo(t *testing.T) {
	const ended = `"status":408,"detail":"the body did not arrive in time; repeat the request; this line and those behind it were not carried out","ended":true}`
	eachVersion(t, func(t *testing.T, version int) {
		h := sitetest.Handler(t, "body_timeout 300ms")
		s := sitetest.Serve(t, h)
		// On a busy machine the time may be over before the first line has arrived.
		for end := time.Now().Add(sitetest.Patience); ; {
			b := openBulk(t, s, version)
			_, _ = io.WriteString(b.body, "{\"key\":\"a\",\"value\":1}\n\n{\"key\":\"b\",\"val")
			first := b.answer()
			if strings.HasSuffix(first, ended) && !strings.HasPrefix(first, `{"line":3,`) && time.Now().Before(end) {
				b.leave()
				continue
			}
			if got, want := b.answer(), `{"line":3,`+ended; got != want || !strings.Contains(first, `"key":"a"`) {
				t.Errorf("got %s and %s, want %s at the end", first, got, want)
			}
			holdsNothing(t, h)
			b.leave()
			return
		}
	})
}

func TestABulkRequestMayExpect100Continue(t *testing.T) {
	s := sitetest.New(t, "")
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(sitetest.Patience))
	const line = "{\"key\":\"k\",\"value\":1}\n"
	fmt.Fprintf(conn, "POST /cache HTTP/1.1\r\nHost: cache.test\r\nContent-Type: application/x-ndjson\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(line))
	from := bufio.NewReader(conn)
	if status, err := from.ReadString('\n'); status != "HTTP/1.1 100 Continue\r\n" || err != nil {
		t.Fatalf("%q, %v", status, err)
	}
	if _, err := from.Discard(len("\r\n")); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, line)
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(answer), `{"key":"k","status":201`) {
		t.Errorf("%s, %v", answer, err)
	}
}
