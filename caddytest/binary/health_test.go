package binary

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// A load balancer takes the node out of service before it stops.
func TestReadyEndsBeforeCaddyStops(t *testing.T) {
	redis := redistest.Start(t)
	c := startCaddy(t, redis, "shutdown_delay 1h", "")
	client := &http.Client{Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	url := "http://" + c.addr
	if got := get(client, url+"/ready"); !strings.Contains(got, `"ready":true`) {
		t.Fatalf("/ready: %s", got)
	}
	// A reload does not stop the listener.
	c.load(c.caddyfile("shutdown_delay 1h", "max_keys 7"))
	for path, want := range map[string]string{"/ready": `"ready":true`, "/serving": `"serving":true`} {
		if got := get(client, url+path); !strings.Contains(got, want) {
			t.Errorf("%s after a reload: %s", path, got)
		}
	}
	c.proc.Signal(syscall.SIGTERM)
	await(t, "/ready says that Caddy stops", func() bool {
		return strings.Contains(get(client, url+"/ready"), `"ready":false,"writes":true,"caches":1,"cause":"","shutting_down":true`)
	})
	for path, want := range map[string]int{
		"/ready": http.StatusServiceUnavailable, "/serving": http.StatusServiceUnavailable,
		"/live": http.StatusOK, "/cache/k": http.StatusNotFound,
	} {
		resp, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s while Caddy stops: %s", path, resp.Status)
		}
	}
	if got := get(client, url+"/serving"); got != `{"serving":false}`+"\n" {
		t.Errorf("/serving while Caddy stops: %s", got)
	}
}

func TestAFailedHealthCheckIsNoErrorOfCaddy(t *testing.T) {
	redis := redistest.Start(t)
	c := startCaddy(t, redis, "", "redis_timeout 300ms")
	redis.Kill()
	client := &http.Client{Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	await(t, "/ready says that Redis is down", func() bool {
		return strings.Contains(get(client, "http://"+c.addr+"/ready"), `"ready":false`)
	})
	await(t, "the log tells of the outage", func() bool { return c.log.Contains(`"level":"warn"`) })
	for _, line := range []string{`"level":"error"`, "http.log.error", "/ready"} {
		if c.log.Contains(line) {
			t.Errorf("the log has %s:\n%s", line, lastLines(c.log.String(), 10))
		}
	}
}
