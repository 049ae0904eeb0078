package binary

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const sharesPort = "another process listens on this address too"

func TestASecondCaddyOnThePortWarns(t *testing.T) {
	redis := redistest.Start(t)
	first := startCaddy(t, redis, "", "")
	if first.log.Contains(sharesPort) {
		t.Errorf("the first Caddy on the port warns:\n%s", first.log.String())
	}

	first.load(first.caddyfile("", "max_keys 7"))
	if first.log.Contains(sharesPort) {
		t.Errorf("a reload takes its own process for another:\n%s", first.log.String())
	}

	for _, hosts := range []string{"0.0.0.0", "127.0.0.1", "127.0.0.1 127.0.0.2"} {
		first.load(strings.Replace(first.caddyfile("", ""), "bind 127.0.0.1\n", "bind "+hosts+"\n", 1))
		if first.log.Contains(sharesPort) {
			t.Fatalf("a reload with bind %s takes its own process for another:\n%s", hosts, first.log.String())
		}
	}

	validate := exec.Command(first.binary, "validate", "--config", "Caddyfile", "--adapter", "caddyfile")
	validate.Dir = first.dir
	if out, err := validate.CombinedOutput(); err != nil || strings.Contains(string(out), sharesPort) {
		t.Errorf("caddy validate beside the Caddy that serves: %v\n%s", err, out)
	}

	second := startCaddyAt(t, first.addr, redis, "", "")
	if !second.log.Contains(sharesPort) || !second.log.Contains(first.addr) {
		t.Errorf("the second Caddy on the port does not warn:\n%s", second.log.String())
	}
}
