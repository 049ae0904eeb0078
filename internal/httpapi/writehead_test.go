package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestRequestsThatAskForAnotherWriteAreRefused(t *testing.T) {
	bad := func(detail string) string { return sitetest.Problem(400, detail) }
	part := func(name string) string {
		return bad(name + " says that the body is only a part of the value, and values are stored as a whole; send the whole value in one request, without " + name)
	}
	begun := bad("the request says that its body is the beginning of an upload, and uploads cannot be resumed; send the whole value in one request")
	method := func(where, asked, sent string) string {
		return bad(fmt.Sprintf("%s asks for the method %q, but the request is a %s; send it with the method that you mean", where, asked, sent))
	}
	s := sitetest.New(t, "methods GET POST PUT DELETE")
	run(t, s, []step{
		{"create", "POST /cache/k\nContent-Type: text/plain\n\n0123456789", created + "k\n\n"},
		{"curl -C 6 -T", "PUT /cache/k\nContent-Range: bytes 6-9/10\n\n6789", part("Content-Range")},
		{"an unknown range", "POST /cache/k\nContent-Range: lines 1-2\n\n6789", part("Content-Range")},
		{"DELETE of a part", "DELETE /cache/k\nContent-Range: bytes 6-9/10", part("Content-Range")},
		{"a resumed upload", "PUT /cache/k\nUpload-Offset: 6\nUpload-Complete: ?1\n\n6789", part("Upload-Offset")},
		{"an upload that goes on", "PUT /cache/k\nUpload-Complete: ?0\n\n0123", begun},
		{"the same in an older draft", "PUT /cache/k\nUpload-Incomplete: ?1\n\n0123", begun},
		{"an upload by tus", "POST /cache/j\nTus-Resumable: 1.0.0\nUpload-Length: 9\nContent-Length: 0", part("Tus-Resumable")},
		{"DELETE in a POST", "POST /cache/j\nX-HTTP-Method-Override: DELETE\nContent-Length: 0", method("X-Http-Method-Override", "DELETE", "POST")},
		{"PATCH in a PUT", "PUT /cache/k\nX-HTTP-Method: patch\n\n0123", method("X-Http-Method", "patch", "PUT")},
		{"the last of several", "PUT /cache/k\nX-Method-Override: PUT\nX-Method-Override: DELETE\n\n0", method("X-Method-Override", "DELETE", "PUT")},
		{"DELETE in the query of a POST", "POST /cache/j?_method=delete\n\nv", method("the parameter _method", "delete", "POST")},
		{"a life in another case", "PUT /cache/k?Ttl=60\n\nv", bad(`the query has the parameter "Ttl"; parameters are case-sensitive, write it ttl`)},
		{"raw in another case", "PUT /cache/k?RAW\nContent-Type: application/json\n\n{}", bad(`the query has the parameter "RAW"; parameters are case-sensitive, write it raw`)},
		{"nothing was changed", "GET /cache/k", `200 OK
Cache-Control: no-cache
Cache-Status: redis_proxy; fwd=uri-miss; stored
Content-Length: 10
Content-Type: text/plain
Etag: "<etag>"
X-Content-Type-Options: nosniff

0123456789`},
		{"nothing was created", "DELETE /cache/j", sitetest.Problem(404, "no entry has this key, nothing was deleted")},

		{"a whole upload", "PUT /cache/k\nUpload-Complete: ?1\n\nv", replaced},
		{"its own method", "PUT /cache/k?_method=PUT\nX-HTTP-Method-Override: put\n\nv", replaced},
		{"parameters of others", "PUT /cache/k?token=a&TTLs=1&raw\nContent-Type: application/json\n\n{", replaced},
		// RFC 9110 says that these are to be ignored.
		{"Range", "PUT /cache/k\nRange: bytes=6-9\n\nv", replaced},
		{"dates", "PUT /cache/k\nIf-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT\n\nv", replaced},
		{"Content-Location", "PUT /cache/k\nContent-Location: /cache/j\n\nv", replaced},
	})
}
