package command_test

import (
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// There is neither a Redis nor a configuration.
func TestTheVersionIsTold(t *testing.T) {
	stdout, stderr := succeed(t, "version")
	if want := version.This().String() + "\n"; stdout != want || stderr != "" {
		t.Errorf("%q and %q, want %q", stdout, stderr, want)
	}
}
