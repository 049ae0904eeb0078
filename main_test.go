package redisproxy

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
	"go.uber.org/goleak"
)

// patience bounds waiting for what must happen; a machine may be busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newContext returns the context of a configuration of its own.
func newContext(t testing.TB) caddy.Context {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return ctx
}

// parse reads the settings in the block of a redis_proxy directive. What they do
// not say of timeouts is more than a busy machine needs.
func parse(t testing.TB, settings string) *Handler {
	t.Helper()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("redis_proxy {\n" + settings + "\n}")); err != nil {
		t.Fatal(err)
	}
	makePatient(h)
	return h
}

// newHandler returns a provisioned handler with settings and a namespace of
// its own.
func newHandler(t testing.TB, settings string) *Handler {
	t.Helper()
	h := parse(t, settings)
	if h.Namespace == "" {
		h.Namespace = uniqueNamespace(t)
	}
	provision(t, newContext(t), h)
	return h
}

func makePatient(h *Handler) {
	for _, d := range []**caddy.Duration{&h.RedisTimeout, &h.DrainTimeout, &h.UnsubscribedTTL} {
		if *d == nil {
			*d = new(caddy.Duration(patience))
		}
	}
}

// provision provisions h, and cleans it up at the end of the test.
func provision(t testing.TB, ctx caddy.Context, h *Handler) {
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

func uniqueNamespace(t testing.TB) string {
	name := notInNamespaces.ReplaceAllString(t.Name(), "-")
	return name[max(0, len(name)-64):]
}

// site serves a handler over HTTP, as the server of Caddy calls it.
type site struct {
	t    testing.TB
	addr string
	etag string // of the last answer that had one
}

func newSite(t testing.TB, settings string) *site {
	t.Helper()
	return serve(t, newHandler(t, settings))
}

func serve(t testing.TB, h caddyhttp.MiddlewareHandler) *site {
	t.Helper()
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/plain")
		_, err := io.WriteString(w, "next handler")
		return err
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	t.Cleanup(server.Close)
	return &site{t: t, addr: server.Listener.Addr().String()}
}

var (
	etagPattern = regexp.MustCompile(`"[0-9a-f]{9,24}"`)
	ttlPattern  = regexp.MustCompile(`ttl=\d+`)
)

// send sends a request, given as it is on the wire but with line feeds alone,
// and returns the answer in the same form: sorted headers, without the date,
// and with placeholders for ETag and ttl. {etag} in the request is the last
// ETag, in its quotes. Content-Length is added if there is a body.
func (s *site) send(request string) string {
	s.t.Helper()
	request = strings.ReplaceAll(request, "{etag}", s.etag)
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

	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
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
		s.etag = tag
	}

	var headers []string
	for name, values := range resp.Header {
		if name == "Date" || name == "Connection" {
			continue
		}
		for _, value := range values {
			value = etagPattern.ReplaceAllString(value, `"<etag>"`)
			value = ttlPattern.ReplaceAllString(value, "ttl=<ttl>")
			headers = append(headers, name+": "+value+"\n")
		}
	}
	slices.Sort(headers)
	return strings.TrimPrefix(resp.Status, "HTTP/1.1 ") + "\n" + strings.Join(headers, "") + "\n" + string(answer)
}

// step is one request and its whole answer.
type step struct {
	name, request, answer string
}

func (s *site) run(t *testing.T, steps []step) {
	t.Helper()
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if got := s.send(step.request); got != step.answer {
				t.Errorf("%s\n--- got\n%s\n--- want\n%s", step.request, got, step.answer)
			}
		})
	}
}

// problemAnswer is the whole answer of a problem, with further header lines.
func problemAnswer(status int, detail string, headers ...string) string {
	return problemWith(status, detail, "", headers...)
}

func problemWith(status int, detail, members string, headers ...string) string {
	title := http.StatusText(status)
	detail = strings.ReplaceAll(detail, `"`, `\"`)
	body := fmt.Sprintf(`{"title":%q,"status":%d,"detail":"%s"%s}`+"\n", title, status, detail, members)
	headers = append(headers, "Cache-Control: no-store", "Content-Type: application/problem+json",
		fmt.Sprintf("Content-Length: %d", len(body)), "X-Content-Type-Options: nosniff")
	slices.Sort(headers)
	return fmt.Sprintf("%d %s\n%s\n\n%s", status, title, strings.Join(headers, "\n"), body)
}

// hasBody reports whether a whole answer ends with body.
func hasBody(answer, body string) bool {
	_, got, _ := strings.Cut(answer, "\n\n")
	return got == body
}
