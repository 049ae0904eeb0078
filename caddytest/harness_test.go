// Package integration runs the module in a real Caddy in this process, with Caddyfiles, TLS
// from its internal CA, HTTP/1.1 and HTTP/2, and a real Redis.
package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/redis/go-redis/v9"

	_ "github.com/redis-proxy/caddy-redis-proxy"
)

// patience bounds how long a test waits for an event that must come. No result depends on
// it.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	// Caddy itself leaves goroutines behind, so the test looks only for ours.
	deadline := time.Now().Add(patience)
	for code == 0 && goroutines("caddy-redis-proxy/engine", "go-redis") > 0 {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "goroutines outlived Caddy:\n%s", stacks())
			code = 1
		}
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}

func stacks() []byte {
	buffer := make([]byte, 16<<20)
	return buffer[:runtime.Stack(buffer, true)]
}

// goroutines counts the goroutines that have one of the names on their stacks.
func goroutines(names ...string) (n int) {
	for stack := range bytes.SplitSeq(stacks(), []byte("\n\n")) {
		for _, name := range names {
			if bytes.Contains(stack, []byte(name)) {
				n++
				break
			}
		}
	}
	return n
}

// eventually waits until a condition is true.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// server is the one Caddy of this process.
type server struct {
	t           testing.TB
	storage     string
	http, https string // host and port
	admin       string // host and port of the admin endpoint, or off
	plain       *http.Client
	http1       *http.Client // over TLS
	http2       *http.Client // over TLS
}

// start runs Caddy with site served on plain HTTP and over TLS until the end
// of the test.
func start(t testing.TB, site string) *server {
	t.Helper()
	return startWith(t, site, "off")
}

// startAdmin is start with Caddy's admin endpoint.
func startAdmin(t testing.TB, site string) *server {
	t.Helper()
	return startWith(t, site, freeAddr(t))
}

func startWith(t testing.TB, site, admin string) *server {
	t.Helper()
	s := &server{t: t, storage: t.TempDir(), http: freeAddr(t), https: freeAddr(t), admin: admin}
	s.reload(site)
	t.Cleanup(s.stop)

	var pool *x509.CertPool
	eventually(t, "Caddy has made its CA", func() bool {
		root, err := os.ReadFile(filepath.Join(s.storage, "pki/authorities/local/root.crt"))
		pool = x509.NewCertPool()
		return err == nil && pool.AppendCertsFromPEM(root)
	})
	client := func(protocols func(*http.Protocols)) *http.Client {
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true,
			Protocols: new(http.Protocols), MaxIdleConnsPerHost: 100,
		}
		protocols(transport.Protocols)
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: patience}
	}
	s.plain = client(func(p *http.Protocols) { p.SetHTTP1(true) })
	s.http1 = client(func(p *http.Protocols) { p.SetHTTP1(true) })
	s.http2 = client(func(p *http.Protocols) { p.SetHTTP2(true) })
	eventually(t, "Caddy has a certificate", func() bool {
		resp, err := s.http1.Get("https://" + s.https + "/none")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return s
}

// given are the addresses that freeAddr returned. The system may return an address again if
// no process has listened on it yet.
var given sync.Map

func freeAddr(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		addr := fmt.Sprintf("localhost:%d", l.Addr().(*net.TCPAddr).Port)
		if _, again := given.LoadOrStore(addr, true); !again {
			return addr
		}
	}
}

// config adapts the Caddyfile that serves site, with more sites after it.
func (s *server) config(site, more string) []byte {
	s.t.Helper()
	config := fmt.Sprintf(`{
	admin %s
	persist_config off
	skip_install_trust
	local_certs
	auto_https disable_redirects
	default_bind 127.0.0.1
	grace_period 10m
	storage file_system %s
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	log {
		output discard
	}
}
http://%s, https://%s {
%s
}
%s
`, s.admin, s.storage, s.http, s.https, site, more)
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	adapted, _, err := adapter.Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, config)
	}
	var whole any
	if err := json.Unmarshal(adapted, &whole); err != nil {
		s.t.Fatal(err)
	}
	makePatient(whole)
	patient, err := json.Marshal(whole)
	if err != nil {
		s.t.Fatal(err)
	}
	return patient
}

// makePatient raises the timeouts that a configuration does not set above the needs of a
// busy machine. Otherwise a slow Redis could count as down, or a slow subscription as lost.
func makePatient(config any) {
	switch c := config.(type) {
	case []any:
		for _, v := range c {
			makePatient(v)
		}
	case map[string]any:
		for _, v := range c {
			makePatient(v)
		}
		if c["handler"] != "redis_proxy" {
			return
		}
		for _, name := range []string{"redis_timeout", "drain_timeout", "unsubscribed_ttl"} {
			if c[name] == nil {
				c[name] = "10m"
			}
		}
	}
}

func (s *server) reload(site string) {
	s.t.Helper()
	if err := caddy.Load(s.config(site, ""), true); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
}

// settle waits until a new connection lasts. At every load Caddy closes idle connections,
// and sometimes one that it has just accepted.
func (s *server) settle() {
	s.t.Helper()
	if s.plain == nil {
		return // this is the first load
	}
	s.plain.CloseIdleConnections()
	eventually(s.t, "a new connection holds", func() bool {
		_, err := try(s.t.Context(), s.plain, request{"GET", "http://" + s.http + "/none", "", nil})
		return err == nil
	})
}

// validate does what `caddy validate` does.
func (s *server) validate(site string) {
	s.t.Helper()
	var config caddy.Config
	if err := json.Unmarshal(s.config(site, ""), &config); err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
}

func (s *server) stop() {
	if err := caddy.Stop(); err != nil {
		s.t.Error(err)
	}
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

// request is a request of a client. Its headers are names and values in turn.
type request struct {
	method, url, body string
	headers           []string
}

// get reads url.
func get(t testing.TB, client *http.Client, url string, headers ...string) answer {
	t.Helper()
	return do(t, client, request{"GET", url, "", headers})
}

// post sends a body to url.
func post(t testing.TB, client *http.Client, url, body string, headers ...string) answer {
	t.Helper()
	return do(t, client, request{"POST", url, body, headers})
}

// do sends a request, and fails the test if there is no answer.
func do(t testing.TB, client *http.Client, r request) answer {
	t.Helper()
	a, err := try(t.Context(), client, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try sends a request.
func try(ctx context.Context, client *http.Client, sent request) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, sent.method, sent.url, strings.NewReader(sent.body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(sent.headers); i += 2 {
		r.Header.Set(sent.headers[i], sent.headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, string(b)}, err
}

// postJSON creates an entry with a JSON value.
func postJSON(t testing.TB, client *http.Client, url, value string) answer {
	t.Helper()
	return post(t, client, url, `{"value": `+value+`}`, "Content-Type", "application/json")
}

// expect checks status and body.
func (a answer) expect(t testing.TB, status int, body string) {
	t.Helper()
	if a.StatusCode != status || a.body != body {
		t.Errorf("%s %s: got %d %q, want %d %q", a.Request.Method, a.Request.URL, a.StatusCode, a.body, status, body)
	}
}

func (a answer) expectStatus(t testing.TB, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: got %d %q, want %d", a.Request.Method, a.Request.URL, a.StatusCode, a.body, status)
	}
}

// ranks returns the entries of a namespace with their ranks, lowest first.
func ranks(t testing.TB, client *redis.Client, namespace string) string {
	t.Helper()
	members, err := client.ZRangeWithScores(t.Context(), "{"+namespace+"}:ranks", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprintf("%s=%g", m.Member.(string)[6:], m.Score))
	}
	return strings.Join(all, " ")
}

// loadWith loads site with more sites, and returns Caddy's error.
func loadWith(s *server, site, more string) error {
	s.t.Helper()
	defer s.settle()
	return caddy.Load(s.config(site, more), true)
}
