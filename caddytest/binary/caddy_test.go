package binary

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// caddy is a process of the built binary, with ports and directories of its own.
type caddy struct {
	t      testing.TB
	binary string
	dir    string
	addr   string
	redis  *redistest.Server
	log    child.Output
	admin  *http.Client
	proc   *child.Process
}

// startCaddy starts caddy over a Redis server, and waits until it answers. It
// ends with the test. The options are lines of the Caddyfile's global block,
// the settings lines of redis_proxy's; they may name another store, such as a proxy.
func startCaddy(t testing.TB, redis *redistest.Server, options, settings string) *caddy {
	t.Helper()
	return startCaddyAt(t, freeAddr(t), redis, options, settings)
}

// startCaddyAt is startCaddy at an address, where another one may listen.
func startCaddyAt(t testing.TB, addr string, redis *redistest.Server, options, settings string) *caddy {
	t.Helper()
	binary, err := filepath.Abs(cmp.Or(os.Getenv("CADDY_BIN"), "../../caddy"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("no caddy to test; run make build: %v", err)
	}
	// Not t.TempDir: it has the name of the test, and the path of the socket could become
	// longer than the 107 bytes that Linux allows.
	dir, err := os.MkdirTemp("", "caddytest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })

	c := &caddy{t: t, binary: binary, dir: dir, addr: addr, redis: redis}
	c.admin = &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", c.socket())
			},
		},
	}
	config := c.caddyfile(options, settings)
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of caddy's log:\n%s", lastLines(c.log.String(), 40))
		}
	})
	c.start()
	t.Cleanup(func() { c.proc.Kill() })
	return c
}

func (c *caddy) socket() string { return filepath.Join(c.dir, "admin.sock") }

// caddyfile returns a configuration with the cache, health checks, a plain route to compare
// with, and a route that tells this caddy from any other process on the port. Timeouts that the settings
// do not set are long enough for the busiest machine.
func (c *caddy) caddyfile(options, settings string) string {
	for _, name := range []string{"redis_timeout", "drain_timeout", "unsubscribed_ttl"} {
		if !strings.Contains(settings, name) {
			settings += "\n" + name + " 10m"
		}
	}
	if !strings.Contains(settings, "store ") {
		settings += "\nstore " + c.redis.URL()
	}
	return fmt.Sprintf(`{
	admin unix/%s
	auto_https off
	persist_config off
	log {
		exclude admin.api
	}
	servers {
		protocols h1 h2c
	}
	%s
}
http://%s {
	bind 127.0.0.1
	respond /whoami %q
	respond /plain/* 200
	redis_proxy_health
	redis_proxy {
		%s
	}
}
`, c.socket(), options, c.addr, c.dir, settings)
}

// start starts the binary, perhaps again, and waits until it answers.
func (c *caddy) start() {
	c.t.Helper()
	cmd := exec.Command(c.binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(),
		"HOME="+c.dir, "XDG_DATA_HOME="+c.dir+"/data", "XDG_CONFIG_HOME="+c.dir+"/config")
	var err error
	if c.proc, err = child.Start(cmd, &c.log); err != nil {
		c.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	await(c.t, "caddy answers", func() bool {
		if c.proc.Ended() {
			c.t.Fatalf("caddy ended with %s:\n%s", c.proc.Cmd.ProcessState, lastLines(c.log.String(), 40))
		}
		return get(client, "http://"+c.addr+"/whoami") == c.dir
	})
}

// load loads another configuration, as `caddy reload` does.
func (c *caddy) load(config string) {
	c.t.Helper()
	resp, err := c.admin.Post("http://127.0.0.1/load", "text/caddyfile", strings.NewReader(config))
	if err != nil {
		c.t.Fatalf("loading a configuration: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("loading a configuration: %s: %s", resp.Status, body)
	}
}

// awaitEnd waits for the process to end.
func (c *caddy) awaitEnd() {
	c.t.Helper()
	await(c.t, "caddy ends", c.proc.Ended)
}

// get returns the body at url, or nothing if it does not answer.
func get(client *http.Client, url string) string {
	resp, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func lastLines(s string, n int) string {
	lines := bytes.SplitAfter([]byte(s), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}
