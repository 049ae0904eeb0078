// Package browser opens the dashboard in a real Chromium, on a real Caddy in
// this process and a real Redis.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/caddytest/chromium"
)

// patience bounds how long a test waits for an event that must come. No result depends on
// it.
const patience = 5 * time.Minute

// browser starts the one Chromium of this process when the first test needs it.
var browser = sync.OnceValues(func() (context.Context, error) {
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return nil, err
	}
	ctx, end, err := chromium.Start(dir)
	endBrowser = func() {
		if err == nil {
			end()
		}
		os.RemoveAll(dir)
	}
	return ctx, err
})

var endBrowser = func() {}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	code := m.Run()
	endBrowser()

	// Caddy itself leaves goroutines behind, so the test looks only for ours.
	deadline := time.Now().Add(patience)
	for code == 0 && leftBehind() {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "goroutines outlived Caddy or the browser:\n%s", stacks())
			return 1
		}
		time.Sleep(time.Millisecond)
	}
	return code
}

func stacks() []byte {
	buffer := make([]byte, 16<<20)
	return buffer[:runtime.Stack(buffer, true)]
}

func leftBehind() bool {
	all := stacks()
	for _, name := range []string{"caddy-redis-proxy/engine", "go-redis", "chromedp"} {
		if bytes.Contains(all, []byte(name)) {
			return true
		}
	}
	return false
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf("localhost:%d", l.Addr().(*net.TCPAddr).Port)
}

// site is the one Caddy of this process.
type site struct {
	t    testing.TB
	addr string
	url  string // without a slash at the end
}

// serve runs Caddy until the end of the test, with global options.
func serve(t testing.TB, directives string, global ...string) *site {
	t.Helper()
	s := &site{t: t, addr: freeAddr(t)}
	s.url = "http://" + s.addr
	s.reload(directives, global...)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reload loads another configuration of the site.
func (s *site) reload(directives string, global ...string) {
	s.t.Helper()
	options := "admin off"
	if len(global) > 0 {
		options = strings.Join(global, "\n")
	}
	config := fmt.Sprintf(`{
	%s
	persist_config off
	default_bind 127.0.0.1
	log {
		output discard
	}
}
http://%s {
%s
}
`, options, s.addr, directives)
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	adapted, _, err := adapter.Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, config)
	}
	if err := caddy.Load(adapted, true); err != nil {
		s.t.Fatal(err)
	}
}

// do sends a request and returns the answer with its body read.
func (s *site) do(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	for (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)) && r.Context().Err() == nil {
		// After a reload, Caddy closes its old listener, with the connections that wait there.
		// Nobody has read their requests.
		r.Body, _ = r.GetBody()
		resp, err = client.Do(r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(b)
}

// create creates an entry with a JSON value.
func (s *site) create(key, value string) {
	s.t.Helper()
	name, _ := json.Marshal(key)
	resp, body := s.do("POST", "/cache", fmt.Sprintf(`{"key": %s, "value": %s}`, name, value), "Content-Type", "application/json")
	if resp.StatusCode != http.StatusCreated {
		s.t.Fatalf("creating %q: %d %s", key, resp.StatusCode, body)
	}
}

// get reads entries, and returns nothing.
func (s *site) get(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		if resp, body := s.do("GET", "/cache/"+key, ""); resp.StatusCode != 200 && resp.StatusCode != 404 {
			s.t.Fatalf("reading %q: %d %s", key, resp.StatusCode, body)
		}
	}
}
