package binary

import (
	"bufio"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// watched opens streams of events, and returns a channel for each that is closed when the
// stream ends.
func watched(t *testing.T, c *caddy, overHTTP2 bool) []chan struct{} {
	t.Helper()
	client := newClient(t, c, 10)
	if overHTTP2 {
		client = client.overHTTP2()
	}
	client.http.Timeout = 0
	var ends []chan struct{}
	for range 5 {
		resp, err := client.http.Get(client.base + "/cache?watch")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%+v, %v", resp, err)
		}
		ended := make(chan struct{})
		lines := bufio.NewScanner(resp.Body)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), ":") {
			t.Fatalf("the first line is %q", lines.Text())
		}
		go func() {
			defer close(ended)
			defer resp.Body.Close()
			for lines.Scan() {
			}
		}()
		ends = append(ends, ended)
	}
	return ends
}

func awaitEnds(t *testing.T, ends []chan struct{}) {
	t.Helper()
	for _, ended := range ends {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a stream goes on")
		}
	}
}

// Caddy's grace period has no end by default. A stream that waited for it would hold every
// stop for ever.
func TestStreamsEndWithAReloadAndAStop(t *testing.T) {
	for name, overHTTP2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			c := startCaddy(t, redistest.Start(t), "", "watch 10")
			ends := watched(t, c, overHTTP2)
			c.load(c.caddyfile("", "watch 11"))
			awaitEnds(t, ends)
			ends = watched(t, c, overHTTP2)
			c.proc.Signal(syscall.SIGTERM)
			c.awaitEnd()
			awaitEnds(t, ends)
			if c.log.Contains(graceOver) {
				t.Error("the grace period ended it")
			}
		})
	}
}
