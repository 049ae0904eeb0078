package integration

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const (
	trustedOrigin = "https://app.example.com"
	otherOrigin   = "https://evil.example"
)

// expectHeader checks all lines of a header, with | between them.
func (a answer) expectHeader(t *testing.T, name, want string) {
	t.Helper()
	if got := strings.Join(a.Header.Values(name), " | "); got != want {
		t.Errorf("%s %s, for %q: %s is %q, want %q", a.Request.Method, a.Request.URL, a.Request.Header.Get("Origin"), name, got, want)
	}
}

// Browsers refuse an answer that has Access-Control-Allow-Origin twice.
func TestHeaderDirectivesSetNoSecondOrigin(t *testing.T) {
	const name = "Access-Control-Allow-Origin"
	for _, c := range []struct{ directive, trusted, other, vary string }{
		{"", trustedOrigin, "", "Origin"},
		{"header " + name + " *", trustedOrigin, "", "Origin"},
		{"header +" + name + " https://site.example", trustedOrigin, "", "Origin"},
		{"header >" + name + " https://site.example", "https://site.example", "https://site.example", "Origin"},
		{"header ?" + name + " https://site.example", trustedOrigin, "https://site.example", "Origin"},
		{"header Vary Origin", trustedOrigin, "", "Origin"},
		{"header +Vary \"Accept, origin\"", trustedOrigin, "", "Accept, origin"},
		{"header +Vary Accept", trustedOrigin, "", "Accept | Origin"},
		{"header >Vary Accept", trustedOrigin, "", "Accept"},
		{"header Vary *", trustedOrigin, "", "*"},
	} {
		s := start(t, c.directive+"\nredis_proxy {\n trusted_origins "+trustedOrigin+"\n}")
		for origin, want := range map[string]string{trustedOrigin: c.trusted, otherOrigin: c.other} {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				a := do(t, s.plain, request{method, "http://" + s.http + "/cache/k", "", []string{"Origin", origin}})
				a.expectHeader(t, name, want)
				a.expectHeader(t, "Vary", c.vary)
			}
		}
		s.stop()
	}
}

func TestCompressedAnswersToPages(t *testing.T) {
	s := start(t, "encode {\n gzip\n minimum_length 1\n}\nredis_proxy {\n trusted_origins "+trustedOrigin+"\n}")
	at := "http://" + s.http + "/cache/k"
	post(t, s.plain, at, "text", "Content-Type", "text/plain", "Origin", trustedOrigin).expectStatus(t, 201)
	a := get(t, s.plain, at, "Accept-Encoding", "gzip", "Origin", trustedOrigin)
	a.expectHeader(t, "Content-Encoding", "gzip")
	a.expectHeader(t, "Access-Control-Allow-Origin", trustedOrigin)
	if vary := strings.Join(a.Header.Values("Vary"), ", "); !strings.Contains(vary, "Origin") || !strings.Contains(vary, "Accept-Encoding") {
		t.Errorf("Vary is %q", vary)
	}
}

// Errors that the site answers, or an application in its place, are for the page to read
// too.
func TestPassedErrorsToPages(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "X-Any")
		_, _ = w.Write([]byte("from the origin"))
	}))
	defer origin.Close()
	cache := "\nredis_proxy {\n pass_errors\n trusted_origins " + trustedOrigin + "\n}"
	for name, c := range map[string]struct {
		directives string
		status     int
	}{
		"nobody":                      {"", 404},
		"respond":                     {"handle_errors {\n respond gone 410\n}", 410},
		"a header too":                {"handle_errors {\n header Access-Control-Allow-Origin " + trustedOrigin + "\n respond gone 410\n}", 410},
		"an origin with its own CORS": {"handle_errors {\n reverse_proxy " + origin.Listener.Addr().String() + " {\n header_down -Access-Control-*\n}\n}", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.directives+cache)
			a := get(t, s.plain, "http://"+s.http+"/cache/none", "Origin", trustedOrigin)
			a.expectStatus(t, c.status)
			a.expectHeader(t, "Access-Control-Allow-Origin", trustedOrigin)
			a.expectHeader(t, "Vary", "Origin")
			if exposed := a.Header.Values("Access-Control-Expose-Headers"); len(exposed) != 1 || !slices.Contains(strings.Split(exposed[0], ", "), "ETag") {
				t.Errorf("exposed are %q", exposed)
			}
			get(t, s.plain, "http://"+s.http+"/cache/none", "Origin", otherOrigin).expectHeader(t, "Access-Control-Expose-Headers", "")
		})
	}
}

// docs/secure.md says that guards with matchers of their own need `not method OPTIONS`.
func TestPreflightsPassAGuardOfTokens(t *testing.T) {
	s := start(t, `@denied {
		not header Authorization "Bearer write"
		not {
			method GET HEAD
			header Authorization "Bearer read"
		}
		not method OPTIONS
	}
	respond @denied 401
	redis_proxy {
		trusted_origins `+trustedOrigin+`
	}`)
	at := "http://" + s.http + "/cache/k"
	for _, c := range []struct {
		method, token string
		want          int
	}{
		{"OPTIONS", "", 204},
		{"GET", "", 401},
		{"POST", "", 401},
		{"POST", "read", 401},
		{"POST", "write", 201},
		{"GET", "read", 200},
	} {
		a := do(t, s.plain, request{c.method, at, "", []string{"Origin", trustedOrigin, "Access-Control-Request-Method", "POST", "Authorization", "Bearer " + c.token}})
		a.expectStatus(t, c.want)
		if c.want < 300 {
			a.expectHeader(t, "Access-Control-Allow-Origin", trustedOrigin)
		}
	}
}
