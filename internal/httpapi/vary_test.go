package httpapi

import "testing"

func TestVaryOfAKeyPrefix(t *testing.T) {
	for keyPrefix, want := range map[string]string{
		"":                                "",
		"{http.request.host}/":            "",
		"{http.auth.user.id}/":            "",
		"{http.request.header.x-tenant}/": "X-Tenant",
		"{http.request.cookie.a}/":        "Cookie",
		"{http.request.header.Authorization}/{http.request.cookie.a}/{http.request.cookie.b}/": "Authorization, Cookie",
	} {
		if got := varyOf(keyPrefix); got != want {
			t.Errorf("%s: got %q, want %q", keyPrefix, got, want)
		}
	}
}
