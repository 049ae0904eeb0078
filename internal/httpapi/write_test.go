package httpapi_test

import (
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const (
	created  = "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/"
	replaced = "200 OK\nCache-Control: no-cache\nContent-Length: 0\nEtag: \"<etag>\"\nX-Content-Type-Options: nosniff\n\n"

	detailConflictOff = "the key exists, its value was left as it is; PUT would replace it, but it is not in `methods` in the configuration of redis_proxy"
	detailConflict    = "the key exists, its value was left as it is; PUT replaces it"
	detailVersion     = "the entry has another version than the request allows, nothing was changed; its ETag is in this answer"
	detailWeak        = "nothing was changed: " + detailWeakMatch
	detailNoVersion   = "no entry has the version that If-Match asks for, nothing was changed"
)

func TestCreate(t *testing.T) {
	run(t, sitetest.New(t, ""), []step{
		{"JSON", "POST /cache/json\nContent-Type: application/json\n\n{\"value\": 1}", created + "json\n\n"},
		{"with the same key in the body", "POST /cache/same\nContent-Type: application/json\n\n{\"key\": \"same\", \"value\": 1}", created + "same\n\n"},
		{"a form", "POST /cache/form\nContent-Type: application/x-www-form-urlencoded\n\nvalue=a+b%21", created + "form\n\n"},
		{"bytes with a type", "POST /cache/text\nContent-Type: text/plain\n\nhello", created + "text\n\n"},
		{"bytes without a type", "POST /cache/bytes\n\n\x00\xff", created + "bytes\n\n"},
		{"no bytes", "POST /cache/empty\nContent-Length: 0\n\n", created + "empty\n\n"},
		{"chunked", "POST /cache/chunked\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n", created + "chunked\n\n"},
		{"at the collection", "POST /cache\nContent-Type: application/json\n\n{\"key\": \"a b/%\", \"value\": 1}", created + "a%20b/%25\n\n"},
		{"at the collection by a form", "POST /cache\nContent-Type: application/x-www-form-urlencoded\n\nkey=k%C3%A9y&value=v", created + "k%C3%A9y\n\n"},
		{"the path stays as it was sent", "POST /cache/a%2Fb%20c?raw\n\nv", created + "a%2Fb%20c\n\n"},
		{"identity is no encoding", "POST /cache/identity\nContent-Encoding: Identity\n\nv", created + "identity\n\n"},
		{
			"the same again", "POST /cache/json\nContent-Type: application/json\n\n{\"value\": 1}",
			sitetest.ProblemWith(409, detailConflictOff, `,"same_value":true`, `Etag: "<etag>"`),
		},
		{
			"another value", "POST /cache/json\nContent-Type: application/json\n\n{\"value\": 2}",
			sitetest.ProblemWith(409, detailConflictOff, `,"same_value":false`, `Etag: "<etag>"`),
		},
		{"the value stayed", "GET /cache/json?raw", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 1
Content-Type: application/json
Etag: "<etag>"
X-Content-Type-Options: nosniff

1`},
	})
}

func TestMethods(t *testing.T) {
	off := func(method string) string {
		return sitetest.Problem(405, method+" is switched off: it is not in `methods` in the configuration of redis_proxy", "Allow: GET, HEAD, POST, OPTIONS")
	}
	s := sitetest.New(t, "")
	run(t, s, []step{
		{"PUT is off", "PUT /cache/k\n\nv", off("PUT")},
		{"DELETE is off", "DELETE /cache/k", off("DELETE")},
		{
			"PATCH is unknown", "PATCH /cache/k\n\nv",
			sitetest.Problem(405, "PATCH is not supported; use a method that Allow lists", "Allow: GET, HEAD, POST, OPTIONS"),
		},
		{"OPTIONS", "OPTIONS /cache/k", "204 No Content\nAllow: GET, HEAD, POST, OPTIONS\n\n"},
		{"OPTIONS of the collection", "OPTIONS /cache", "204 No Content\nAllow: GET, HEAD, POST, OPTIONS\n\n"},
		{"PUT of the collection", "PUT /cache", sitetest.Problem(405, "PUT is switched off: it is not in `methods` in the configuration of redis_proxy", "Allow: GET, HEAD, POST, OPTIONS")},
	})
	run(t, sitetest.New(t, "methods GET"), []step{
		{
			"HEAD is off", "HEAD /cache/k",
			strings.SplitAfter(sitetest.Problem(405, "HEAD is switched off: it is not in `methods` in the configuration of redis_proxy", "Allow: GET, OPTIONS"), "\n\n")[0],
		},
		{"POST is off", "POST /cache", sitetest.Problem(405, "POST is switched off: it is not in `methods` in the configuration of redis_proxy", "Allow: GET, OPTIONS")},
	})
}

func TestReplaceAndDelete(t *testing.T) {
	run(t, sitetest.New(t, "methods GET POST PUT DELETE"), []step{
		{"If-Match of an absent key", "PUT /cache/k\nIf-Match: *\n\nv", sitetest.Problem(412, detailNoVersion)},
		{"PUT creates", "PUT /cache/k\nIf-None-Match: *\n\nv1", created + "k\n\n"},
		{"but not twice", "PUT /cache/k\nIf-None-Match: *\n\nv2", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"PUT replaces its version", "PUT /cache/k\nIf-Match: {etag}\n\nv2", replaced},
		{"not another", "PUT /cache/k\nIf-Match: \"1\"\n\nv3", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"not weakly", "PUT /cache/k\nIf-Match: W/{etag}\n\nv3", sitetest.Problem(412, detailWeak, `Etag: "<etag>"`)},
		{"weakly in a list", "DELETE /cache/k\nIf-Match: \"1\"\nIf-Match: \"W/\", W/{etag}", sitetest.Problem(412, detailWeak, `Etag: "<etag>"`)},
		{"weakly and strongly", "PUT /cache/k\nIf-Match: W/\"1\", {etag}\nIf-None-Match: *\n\nv3", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"strongly, though it ends like the sign of a weak one", "PUT /cache/k\nIf-Match: \"W/\"\n\nv3", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"weakly of an absent key", "PUT /cache/none\nIf-Match: W/\"1\"\n\nv3", sitetest.Problem(412, detailNoVersion)},
		{"one of a list over two lines", "PUT /cache/k\nIf-Match: \"1\"\nIf-Match: \"a,b\" , {etag}\n\nv3", replaced},
		{"If-None-Match of its version", "PUT /cache/k\nIf-None-Match: {etag}\n\nv4", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"or of another", "PUT /cache/k\nIf-None-Match: \"1\"\n\nv4", replaced},
		{"without a condition", "PUT /cache/k\n\nv5", replaced},
		{"a broken condition", "PUT /cache/k\nIf-Match: 1\n\nv6", sitetest.Problem(400, `If-Match is neither * nor a list of ETags such as "1a2b3c"`)},
		{"a broken negative condition", "PUT /cache/k\nIf-None-Match: \"1\n\nv6", sitetest.Problem(400, `If-None-Match is neither * nor a list of ETags such as "1a2b3c"`)},
		{"POST says what replaces", "POST /cache/k\n\nv6", sitetest.ProblemWith(409, detailConflict, `,"same_value":false`, `Etag: "<etag>"`)},
		{"POST with a condition that holds", "POST /cache/k2\nIf-None-Match: *\n\nv", created + "k2\n\n"},
		{"a conflict comes before a condition", "POST /cache/k\nIf-None-Match: *\n\nv5", sitetest.ProblemWith(409, detailConflict, `,"same_value":true`, `Etag: "<etag>"`)},
		{"DELETE of another version", "DELETE /cache/k\nIf-Match: \"1\"", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"DELETE of its version", "DELETE /cache/k\nIf-Match: {etag}", "204 No Content\n\n"},
		{"DELETE of nothing", "DELETE /cache/k", sitetest.Problem(404, "no entry has this key, nothing was deleted")},
		{"with a condition too", "DELETE /cache/k\nIf-Match: *", sitetest.Problem(404, "no entry has this key, nothing was deleted")},
	})
}

func TestTagsThatEncodeChanged(t *testing.T) {
	s := sitetest.New(t, "methods POST PUT")
	s.Send("POST /cache/k\n\nv")
	for _, encoding := range []string{"gzip", "zstd", "br"} {
		changed := strings.TrimSuffix(s.ETag, `"`) + "-" + encoding + `"`
		if got := s.Send("PUT /cache/k\nIf-Match: " + changed + "\n\nw"); got != replaced {
			t.Error(got)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	const advice = "; `trusted_origins` in the configuration of redis_proxy allows other origins"
	const fetched = "cross-origin request detected from Sec-Fetch-Site header" + advice
	const old = "cross-origin request detected, and/or browser is out of date: Sec-Fetch-Site is missing, and Origin does not match Host" + advice
	run(t, sitetest.New(t, "methods GET POST PUT DELETE\ntrusted_origins https://app.test https://b.test:8443"), []step{
		{"a page elsewhere", "POST /cache/a\nSec-Fetch-Site: cross-site\nOrigin: https://evil.test\n\nv", sitetest.Problem(403, fetched, "Vary: Origin")},
		{"a page of a sister host", "PUT /cache/a\nSec-Fetch-Site: same-site\n\nv", sitetest.Problem(403, fetched, "Vary: Origin")},
		{"an old browser", "DELETE /cache/a\nOrigin: https://evil.test", sitetest.Problem(403, old, "Vary: Origin")},
		{"before the key is looked at", "POST /cache/..\nOrigin: null\n\nv", sitetest.Problem(403, old, "Vary: Origin")},
		{"our page", "POST /cache/b\nSec-Fetch-Site: same-origin\n\nv", created + "b\nVary: Origin\n\n"},
		{"our page in an old browser", "POST /cache/c\nOrigin: https://cache.test\n\nv", created + "c\nVary: Origin\n\n"},
		{"a trusted page", "POST /cache/d\nSec-Fetch-Site: cross-site\nOrigin: https://app.test\n\nv", strings.Replace(created, "Content-Length", fromTrusted+"Content-Length", 1) + "d\nVary: Origin\n\n"},
		{"a trusted page on a port", "POST /cache/e\nOrigin: https://b.test:8443\n\nv", strings.Replace(created, "Content-Length", strings.Replace(fromTrusted, "https://app.test", "https://b.test:8443", 1)+"Content-Length", 1) + "e\nVary: Origin\n\n"},
		{"reading is safe", "GET /cache/none\nSec-Fetch-Site: cross-site", sitetest.Problem(404, detailAbsent, statusAbsent, "Vary: Origin")},
	})
}

func TestLimitsOfTheStore(t *testing.T) {
	run(t, sitetest.New(t, "max_bytes 10"), []step{
		{
			"larger than all entries may be", "POST /cache/k\n\n0123456789",
			sitetest.Problem(413, "key and value together are larger than max_bytes, the limit for all entries"),
		},
		{"just as large", "POST /cache/k\n\n012345678", created + "k\n\n"},
	})
}
