package redisproxy

import (
	"context"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newContext returns the context of a new configuration.
func newContext(t testing.TB) caddy.Context {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return ctx
}

// parse reads the settings in the block of a redis_proxy directive.
func parse(t testing.TB, settings string) *Handler {
	t.Helper()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("redis_proxy {\n" + settings + "\n}")); err != nil {
		t.Fatal(err)
	}
	return h
}

// provision provisions h, and cleans it up at the end of the test.
func provision(t testing.TB, h *Handler) {
	t.Helper()
	if err := h.Provision(newContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
}
