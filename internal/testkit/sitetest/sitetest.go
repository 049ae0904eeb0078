// Package sitetest runs handlers for tests, from the lines of a Caddyfile to the bytes on
// the wire.
package sitetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// Patience bounds how long a test waits for an event that must come; a machine may be
// busy.
const Patience = 2 * time.Minute

// Context returns the context of a new configuration.
func Context(t testing.TB) caddy.Context {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return ctx
}

// Parse reads the settings in the block of a redis_proxy directive. Timeouts that are not
// set are longer than a busy machine needs.
func Parse(t testing.TB, settings string) *redisproxy.Handler {
	t.Helper()
	h := new(redisproxy.Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("redis_proxy {\n" + settings + "\n}")); err != nil {
		t.Fatal(err)
	}
	MakePatient(h)
	return h
}

// Handler returns a provisioned handler with settings. Without the setting namespace, it
// has a namespace of its own.
func Handler(t testing.TB, settings string) *redisproxy.Handler {
	t.Helper()
	h := Parse(t, settings)
	if h.Namespace == "" {
		h.Namespace = Namespace(t)
	}
	Provision(t, Context(t), h)
	return h
}

// MakePatient raises the timeouts that are not set.
func MakePatient(h *redisproxy.Handler) {
	for _, d := range []**caddy.Duration{&h.RedisTimeout, &h.DrainTimeout, &h.UnsubscribedTTL} {
		if *d == nil {
			*d = new(caddy.Duration(Patience))
		}
	}
}

// Provision provisions h, and cleans it up at the end of the test.
func Provision(t testing.TB, ctx caddy.Context, h *redisproxy.Handler) {
	t.Helper()
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
}

var notInNamespaces = regexp.MustCompile(`[^A-Za-z0-9_.:-]`)

// Namespace returns a namespace that no other test uses.
func Namespace(t testing.TB) string {
	name := notInNamespaces.ReplaceAllString(t.Name(), "-")
	return name[max(0, len(name)-64):]
}

// Site serves a handler over HTTP, and calls it as Caddy's server does.
type Site struct {
	t    testing.TB
	Addr string // host and port
	ETag string // of the last answer that had one
}

// New serves a handler with settings.
func New(t testing.TB, settings string) *Site {
	t.Helper()
	return Serve(t, Handler(t, settings))
}

// Serve serves a handler, with a next handler after it.
func Serve(t testing.TB, h caddyhttp.MiddlewareHandler) *Site {
	t.Helper()
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/plain")
		_, err := io.WriteString(w, "next handler")
		return err
	})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		if err := h.ServeHTTP(w, r, next); err != nil {
			herr, ok := err.(caddyhttp.HandlerError)
			if !ok {
				t.Errorf("the handler returned %T: %v", err, err)
			}
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(herr.StatusCode)
			fmt.Fprint(w, "handle_errors: ", herr.Err)
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return &Site{t: t, Addr: server.Listener.Addr().String()}
}

var (
	// ETagPattern finds the ETags in an answer.
	ETagPattern = regexp.MustCompile(`"[0-9a-f]{9,24}"`)
	ttlPattern  = regexp.MustCompile(`ttl=\d+`)
)

// Send sends a request and returns the answer. Both are written as on the wire, but with
// line feeds only. {etag} in the request stands for the last ETag with its quotes, and
// Content-Length is added if there is a body. The headers of the answer are sorted, without
// Date, and with placeholders for ETag and ttl.
func (s *Site) Send(request string) string {
	s.t.Helper()
	request = strings.ReplaceAll(request, "{etag}", s.ETag)
	head, body, _ := strings.Cut(request, "\n\n")
	head = strings.TrimSuffix(head, "\n")
	lines := strings.Split(head, "\n")
	lines[0] += " HTTP/1.1"
	lines = append(lines, "Connection: close")
	if !strings.Contains(head, "\nHost:") {
		lines = append(lines, "Host: cache.test")
	}
	if body != "" && !strings.Contains(head, "Content-Length:") && !strings.Contains(head, "Transfer-Encoding:") {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}

	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		s.t.Fatal(err)
	}
	method, _, _ := strings.Cut(lines[0], " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if tag := resp.Header.Get("Etag"); tag != "" {
		s.ETag = tag
	}

	var headers []string
	for name, values := range resp.Header {
		if name == "Date" || name == "Connection" {
			continue
		}
		for _, value := range values {
			value = ETagPattern.ReplaceAllString(value, `"<etag>"`)
			value = ttlPattern.ReplaceAllString(value, "ttl=<ttl>")
			headers = append(headers, name+": "+value+"\n")
		}
	}
	slices.Sort(headers)
	return strings.TrimPrefix(resp.Status, "HTTP/1.1 ") + "\n" + strings.Join(headers, "") + "\n" + string(answer)
}

// Problem returns the whole answer with problem details, with further header lines.
func Problem(status int, detail string, headers ...string) string {
	return ProblemWith(status, detail, "", headers...)
}

// ProblemWith is Problem with further members in the body.
func ProblemWith(status int, detail, members string, headers ...string) string {
	title := http.StatusText(status)
	detail = strings.ReplaceAll(detail, `"`, `\"`)
	body := fmt.Sprintf(`{"title":%q,"status":%d,"detail":"%s"%s}`+"\n", title, status, detail, members)
	headers = append(headers, "Cache-Control: no-store", "Content-Type: application/problem+json",
		fmt.Sprintf("Content-Length: %d", len(body)), "X-Content-Type-Options: nosniff")
	slices.Sort(headers)
	return fmt.Sprintf("%d %s\n%s\n\n%s", status, title, strings.Join(headers, "\n"), body)
}

// HasBody reports whether body is the body of a whole answer.
func HasBody(answer, body string) bool {
	_, got, _ := strings.Cut(answer, "\n\n")
	return got == body
}

// CacheOf returns the running cache that a provisioned handler uses.
func CacheOf(t testing.TB, h *redisproxy.Handler) *running.Cache {
	t.Helper()
	for _, c := range running.Caches() {
		if c.Namespace() == h.Namespace && isStoreOf(t, c, h.Store) {
			return c
		}
	}
	t.Fatalf("no cache runs with the namespace %s", h.Namespace)
	return nil
}

func isStoreOf(t testing.TB, c *running.Cache, store string) bool {
	t.Helper()
	if store == running.Embedded || c.IsEmbedded() {
		return store == running.Embedded && c.IsEmbedded()
	}
	target, err := redisstore.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	return target.Identity() == c.SharedSettings().Target.Identity()
}
