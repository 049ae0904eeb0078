package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestClientsAreToldApartByAddress(t *testing.T) {
	for _, c := range []struct{ name, clientIP, remote, want string }{
		{"the address that Caddy takes for the client's", "192.0.2.7", "198.51.100.1:5", "192.0.2.7"},
		{"the other end of the connection", "", "198.51.100.1:5", "198.51.100.1"},
		{"an IPv6 network", "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"},
		{"a zone", "", "[fe80::1%eth0]:5", "fe80::"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "", "192.0.2.7"},
		{"a Unix socket", "", "@", "invalid IP"},
	} {
		r := httptest.NewRequest("POST", "/cache/k", http.NoBody)
		r.RemoteAddr = c.remote
		vars := map[string]any{caddyhttp.ClientIPVarKey: c.clientIP}
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
		if got := clientOf(r).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
