package httpapi_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// fromTrusted are the headers of an answer to a page of https://app.test.
const fromTrusted = "Access-Control-Allow-Origin: https://app.test\n" +
	"Access-Control-Expose-Headers: ETag, Location, Cache-Status, Retry-After, Allow, Content-Range, Preference-Applied\n"

const (
	askedBy     = "\nOrigin: https://app.test\nSec-Fetch-Site: cross-site"
	varyOrigin  = "Vary: Origin\n"
	preflighted = "204 No Content\n" +
		"Access-Control-Allow-Headers: Authorization, Cache-Control, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Pragma, Prefer, Range\n" +
		"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS\n" +
		"Access-Control-Allow-Origin: https://app.test\n" +
		"Access-Control-Expose-Headers: ETag, Location, Cache-Status, Retry-After, Allow, Content-Range, Preference-Applied\n" +
		"Access-Control-Max-Age: 7200\n"
)

func TestPreflight(t *testing.T) {
	const asked = "\nAccess-Control-Request-Method: PUT\nAccess-Control-Request-Headers: if-match"
	const allow = "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS\n"
	s := sitetest.New(t, "methods GET HEAD POST PUT DELETE\ntrusted_origins https://app.test https://b.test:8443")
	vary := "Vary: Access-Control-Request-Headers\nVary: Access-Control-Request-Method\nVary: Origin\n\n"
	run(t, s, []step{
		{"of a trusted page", "OPTIONS /cache/k\nOrigin: https://app.test" + asked, preflighted + allow + vary},
		{"of the collection", "OPTIONS /cache\nOrigin: https://app.test" + asked, preflighted + strings.Replace(allow, "PUT, DELETE, ", "", 1) + vary},
		{"of another trusted page", "OPTIONS /cache/k\nOrigin: https://b.test:8443" + asked, strings.Replace(preflighted, "https://app.test", "https://b.test:8443", 1) + allow + vary},
		{"no preflight", "OPTIONS /cache/k\nOrigin: https://app.test", "204 No Content\n" + fromTrusted + allow + varyOrigin + "\n"},
		{"of a page elsewhere", "OPTIONS /cache/k\nOrigin: https://evil.test" + asked, "204 No Content\n" + allow + varyOrigin + "\n"},
		{"of no page", "OPTIONS /cache/k", "204 No Content\n" + allow + varyOrigin + "\n"},
	})
	run(t, sitetest.New(t, ""), []step{
		{"without trusted origins", "OPTIONS /cache/k\nOrigin: https://app.test" + asked, "204 No Content\nAllow: GET, HEAD, POST, OPTIONS\n\n"},
	})
}

// A preflight does not have the headers that key_prefix reads. It asks for them.
func TestPreflightNamesTheHeadersOfKeyPrefix(t *testing.T) {
	s := sitetest.New(t, "key_prefix {http.request.header.x-tenant}/{http.request.header.Authorization}/{http.request.header.X-Stage}/\ntrusted_origins https://app.test")
	got := s.Send("OPTIONS /cache/k\nOrigin: https://app.test\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: x-tenant")
	headers := regexp.MustCompile(`Access-Control-Allow-Headers: (.*)`).FindStringSubmatch(got)
	if !strings.HasPrefix(got, "204 ") || headers == nil || !strings.HasSuffix(headers[1], "Range, X-Tenant, X-Stage") || strings.Count(headers[1], "Authorization") != 1 {
		t.Error(got)
	}
}

func TestAnswersToTrustedPages(t *testing.T) {
	s := sitetest.New(t, "methods GET HEAD POST PUT DELETE\ntrusted_origins https://app.test https://b.test:8443")
	trusted := strings.Split(fromTrusted+"Vary: Origin", "\n")
	with := func(headers ...string) []string { return append(headers, trusted...) }
	const hit = "Cache-Control: no-cache\nCache-Status: redis_proxy; hit; ttl=<ttl>\nContent-Length: 1\nContent-Type: application/octet-stream\nEtag: \"<etag>\"\n"
	run(t, s, []step{
		{"201", "POST /cache/k" + askedBy + "\n\nv", "201 Created\n" + fromTrusted + "Content-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/k\n" + varyOrigin + "\n"},
		{
			"409", "POST /cache/k" + askedBy + "\n\nv",
			sitetest.ProblemWith(409, detailConflict, `,"same_value":true`, with(`Etag: "<etag>"`)...),
		},
		{"412", "PUT /cache/k" + askedBy + "\nIf-Match: \"1\"\n\nw", sitetest.Problem(412, detailVersion, with(`Etag: "<etag>"`)...)},
		{"200 of the store", "GET /cache/k" + askedBy, "200 OK\n" + fromTrusted + strings.Replace(hit, "hit; ttl=<ttl>", "fwd=uri-miss; stored", 1) + varyOrigin + "X-Content-Type-Options: nosniff\n\nv"},
		{"200 of the local tier", "GET /cache/k" + askedBy, "200 OK\n" + fromTrusted + hit + varyOrigin + "X-Content-Type-Options: nosniff\n\nv"},
		{"to nobody, for caches", "GET /cache/k", "200 OK\n" + hit + varyOrigin + "X-Content-Type-Options: nosniff\n\nv"},
		{"304", "GET /cache/k" + askedBy + "\nIf-None-Match: {etag}", "304 Not Modified\n" + fromTrusted + "Cache-Control: no-cache\nCache-Status: redis_proxy; hit; ttl=<ttl>\nEtag: \"<etag>\"\n" + varyOrigin + "\n"},
		{"404", "GET /cache/none" + askedBy, sitetest.Problem(404, detailAbsent, with(statusAbsent)...)},
		{"404 of a near miss", "GET /CACHE/k" + askedBy, sitetest.Problem(404, "the path prefix is taken literally; write /cache as it is, without repeated slashes, dot segments or escapes", trusted...)},
		{"400", "GET /cache/%00" + askedBy, sitetest.Problem(400, "the key has a control character", trusted...)},
		{"405", "PATCH /cache/k" + askedBy, sitetest.Problem(405, "PATCH is not supported; use a method that Allow lists", with("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS")...)},
		{"a batch read", "GET /cache?key=none" + askedBy, "200 OK\n" + fromTrusted + "Cache-Control: no-cache\nCache-Status: redis_proxy; fwd=miss\nContent-Length: 32\nContent-Type: application/json\n" + varyOrigin + "X-Content-Type-Options: nosniff\n\n" + `{"entries":[],"absent":["none"]}`},
		{"a range", "GET /cache/k" + askedBy + "\nRange: bytes=5-", sitetest.Problem(416, "the value has 1 bytes, and none of them is in the range", with("Accept-Ranges: bytes", "Cache-Status: redis_proxy; hit; ttl=<ttl>", "Content-Range: bytes */1")...)},
		{"204", "DELETE /cache/k" + askedBy, "204 No Content\n" + fromTrusted + varyOrigin + "\n"},
	})
}

func TestErrorsOfTheStoreToTrustedPages(t *testing.T) {
	s := sitetest.New(t, "store redis://127.0.0.1:1\nredis_timeout 50ms\ntrusted_origins https://app.test")
	for _, request := range []string{"GET /cache/k", "GET /cache?key=k", "POST /cache/k"} {
		got := s.Send(request + askedBy)
		if !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "\n"+fromTrusted) || !strings.Contains(got, "\nRetry-After: 1\n"+varyOrigin) {
			t.Errorf("%s\n%s", request, got)
		}
	}
}

// No header may tell a page of an origin that nobody named what the cache holds.
func TestPagesOfOriginsThatOnlyLookTrusted(t *testing.T) {
	s := sitetest.New(t, "methods GET POST PUT\ntrusted_origins https://app.test http://app.test:8080\ntrusted_credentials")
	s.Send("POST /cache/k\n\nv")
	for _, origin := range []string{
		"null", "", "*", "https://evil.test", "https://app.test.evil.test", "https://evil-app.test", "https://evil.app.test",
		"https://app.test:443", "https://app.test:8443", "http://app.test", "http://app.test:80", "https://app.test:8080",
		"HTTPS://app.test", "https://APP.test", "https://app.test/", "https://app.test.", "https://user@app.test",
		"https://app.test, https://evil.test", "https://app.test https://evil.test", "https://app.test\nOrigin: https://evil.test",
		"https://evil.test\nOrigin: https://app.test", "app.test", "file://", "https://app.test%00", "//app.test",
	} {
		for _, request := range []string{"GET /cache/k", "GET /cache/none", "GET /cache?key=k", "OPTIONS /cache/k", "PUT /cache/k"} {
			request += "\nOrigin: " + origin + "\nSec-Fetch-Site: cross-site"
			if strings.HasPrefix(request, "OPTIONS") {
				request += "\nAccess-Control-Request-Method: PUT"
			}
			got := s.Send(request)
			if strings.Contains(got, "Access-Control-") || !strings.Contains(got, varyOrigin) {
				t.Errorf("%s\n%s", request, got)
			}
			if strings.HasPrefix(request, "PUT") && !strings.HasPrefix(got, "403 ") && !strings.HasPrefix(origin, "https://app.test\n") {
				t.Errorf("%s\n%s", request, got)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	const credentials = "Access-Control-Allow-Credentials: true\n"
	for settings, want := range map[string]bool{
		"trusted_origins https://app.test":                      false,
		"trusted_origins https://app.test\ntrusted_credentials": true,
	} {
		s := sitetest.New(t, "namespace n"+strings.Repeat("c", len(settings))+"\n"+settings)
		for _, request := range []string{"GET /cache/k", "OPTIONS /cache/k\nAccess-Control-Request-Method: GET"} {
			if got := s.Send(request + "\nOrigin: https://app.test"); strings.Contains(got, credentials) != want {
				t.Errorf("%s\n%s", settings, got)
			}
			if got := s.Send(request); strings.Contains(got, credentials) {
				t.Errorf("%s, without an origin\n%s", settings, got)
			}
		}
	}
}

// Tenants are told apart by a header, and origins too.
func TestVaryOfTenantsAndOrigins(t *testing.T) {
	s := sitetest.New(t, "key_prefix {http.request.header.X-Tenant}/\ntrusted_origins https://app.test")
	if got := s.Send("GET /cache/k\nX-Tenant: a"); !strings.Contains(got, "Vary: Origin\nVary: X-Tenant\n") {
		t.Error(got)
	}
}

// Without trusted origins, answers to pages are those that everybody gets.
func TestNoTrustedOrigins(t *testing.T) {
	s := sitetest.New(t, "")
	s.Send("POST /cache/k\n\nv")
	s.Send("GET /cache/k")
	plain := s.Send("GET /cache/k")
	if got := s.Send("GET /cache/k" + askedBy); got != plain || strings.Contains(got, "Vary") {
		t.Errorf("got\n%s\nwant\n%s", got, plain)
	}
}
