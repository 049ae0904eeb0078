package integration

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkAnswer measures the work of Caddy and net/http for a small answer: of respond, of
// a handler that writes nothing or only a body, and of hits of the local tier. The
// connection is in memory, so there are no system calls.
func BenchmarkAnswer(b *testing.B) {
	const hits = "redis_proxy {\n store embedded\n local_ttl 1h\n}"
	const envelope = `{"key":"k","value":"` + leastBody + `"}`
	for _, c := range []struct{ name, directive, contentType, body, answer string }{
		{"nothing", "least", "", "", ""},
		{"body", "least " + leastBody, "", "", leastBody},
		{"respond/raw", "respond " + leastBody, "", "", leastBody},
		{"hit/raw", hits, "text/plain; charset=utf-8", leastBody, leastBody},
		{"respond/JSON", "respond `" + envelope + "`", "", "", envelope},
		{"hit/JSON", hits, "application/json", `{"value": "` + leastBody + `"}`, envelope},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, "handle /cache/* {\n"+c.directive+"\n}")
			url := "http://" + s.http + "/cache/k"
			if c.body != "" {
				post(b, s.plain, url, c.body, "Content-Type", c.contentType).expectStatus(b, http.StatusCreated)
			}
			get(b, s.plain, url).expect(b, http.StatusOK, c.answer)
			if a := get(b, s.plain, url); c.body != "" && !strings.Contains(a.Header.Get("Cache-Status"), "; hit;") {
				b.Fatalf("not a local hit: %s", a.Header.Get("Cache-Status"))
			}

			server := &http.Server{Handler: plainServer(b, s.http)}
			b.Cleanup(func() { server.Close() })
			w := &wire{request: "GET /cache/k HTTP/1.1\r\nHost: " + s.http + "\r\n\r\n", left: b.N, closed: make(chan struct{})}
			incoming := make(accepts, 1)
			incoming <- w
			b.ReportAllocs()
			b.ResetTimer()
			go server.Serve(incoming)
			<-w.closed
			b.StopTimer()
			if w.answers != b.N {
				b.Fatalf("%d good answers to %d requests", w.answers, b.N)
			}
			b.ReportMetric(float64(w.written)/float64(b.N), "bytes/op")
		})
	}
}

const leastBody = "012345678901234567890123456789"

// least writes the same body for each request, if it has one. It sets a type, since net/http
// would otherwise search the body for one.
type least struct {
	Body string `json:"body,omitempty"`
}

func init() {
	caddy.RegisterModule(least{})
	httpcaddyfile.RegisterHandlerDirective("least", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		l := &least{}
		if h.NextArg() {
			l.Body = h.Val()
		}
		return l, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("least", httpcaddyfile.Before, "respond")
}

func (least) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.least", New: func() caddy.Module { return new(least) }}
}

func (l *least) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
	if l.Body == "" {
		return nil
	}
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, err := io.WriteString(w, l.Body)
	return err
}

// plainServer returns Caddy's handler for an address of plain HTTP.
func plainServer(b *testing.B, addr string) http.Handler {
	b.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	for _, server := range app.(*caddyhttp.App).Servers {
		for _, listen := range server.Listen {
			if _, p, _ := net.SplitHostPort(listen); p == port {
				return server
			}
		}
	}
	b.Fatalf("no server listens on %s", addr)
	return nil
}

// wire is a connection on which the same request arrives repeatedly.
type wire struct {
	request string
	at      int // in the request
	left    int // requests
	answers int // with status 200
	written int
	closing sync.Once
	closed  chan struct{}
}

func (w *wire) Read(b []byte) (int, error) {
	if w.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, w.request[w.at:])
	if w.at += n; w.at == len(w.request) {
		w.at, w.left = 0, w.left-1
	}
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	w.written += len(b)
	if bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		w.answers++
	}
	return len(b), nil
}

func (w *wire) Close() error {
	w.closing.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// accepts is a listener that accepts the connections in its channel.
type accepts chan net.Conn

func (a accepts) Accept() (net.Conn, error) {
	if conn, ok := <-a; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (a accepts) Close() error {
	close(a)
	return nil
}
func (a accepts) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
