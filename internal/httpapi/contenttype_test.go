package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestInvalidContentTypes(t *testing.T) {
	bad := func(detail string) string { return sitetest.Problem(400, detail) }
	const several = "Content-Type has several types, with a comma between them, and a value has one; send one"
	s := sitetest.New(t, "")
	run(t, s, []step{
		{"two lines", "POST /cache/k\nContent-Type: text/plain\nContent-Type: application/json\n\n{\"value\": 1}", bad("the request has 2 Content-Type lines, and a value has one type; send one")},
		{"two equal lines", "POST /cache/k?raw\nContent-Type: text/plain\nContent-Type: text/plain\n\nv", bad("the request has 2 Content-Type lines, and a value has one type; send one")},
		{"two lines that a proxy joined", "POST /cache/k\nContent-Type: text/plain, application/json\n\nv", bad(several)},
		{"behind a parameter", "POST /cache/k\nContent-Type: application/json; charset=utf-8, text/plain\n\n{\"value\": 1}", bad(several)},
		{"not UTF-8", "POST /cache/k\nContent-Type: text/plain; name=\"\xe9\"\n\nv", bad("the content type is not valid UTF-8")},
		{"not UTF-8, and raw", "POST /cache/k?raw\nContent-Type: \xff\n\nv", bad("the content type is not valid UTF-8")},
		{"a C1 control", "POST /cache/k\nContent-Type: a/b\u0085\n\nv", bad("the content type has a control character")},
		{"nothing was stored", "GET /cache/k", sitetest.Problem(404, detailAbsent, statusAbsent)},
		{"a comma in quotes", "POST /cache/comma\nContent-Type: text/plain; a=\"b, c\"\n\nv", created + "comma\n\n"},
		{"UTF-8", "POST /cache/utf8\nContent-Type: text/plain;\tname=\"é\\\"\"\n\nv", created + "utf8\n\n"},
		{"no more than spaces", "POST /cache/spaces\nContent-Type:  \n\nv", created + "spaces\n\n"},
	})
	if got := s.Send("GET /cache/utf8"); !strings.Contains(got, "\nContent-Type: text/plain;\tname=\"é\\\"\"\n") {
		t.Error(got)
	}
	if got := s.Send("GET /cache/spaces"); !strings.Contains(got, "\nContent-Type: application/octet-stream\n") {
		t.Error(got)
	}
}

func TestMultipartBodies(t *testing.T) {
	const form = "the body is multipart/form-data (curl -F, or FormData in a browser), whose fields are not read; send the fields as application/x-www-form-urlencoded or as JSON, or the value alone with its own type; ?raw after a key stores the body as it is"
	const parts = "the body is multipart/byteranges, which holds parts of a value, and values are stored as a whole; send the whole value; ?raw after a key stores the body as it is"
	const body = "--x\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\nv\r\n--x--\r\n"
	s := sitetest.New(t, "")
	run(t, s, []step{
		{"curl -F", "POST /cache/k\nContent-Type: Multipart/Form-Data; boundary=x\n\n" + body, sitetest.Problem(415, form)},
		{"at the collection", "POST /cache\nContent-Type: multipart/form-data; boundary=x\n\n" + body, sitetest.Problem(415, form)},
		{"parts", "POST /cache/k\nContent-Type: multipart/byteranges; boundary=x\n\n" + body, sitetest.Problem(415, parts)},
		{"raw", "POST /cache/k?raw\nContent-Type: multipart/form-data; boundary=x\n\n" + body, created + "k\n\n"},
		{"a mail", "POST /cache/mail\nContent-Type: multipart/mixed; boundary=x\n\n" + body, created + "mail\n\n"},
	})
	if got := s.Send("GET /cache/k"); !sitetest.HasBody(got, body) || !strings.Contains(got, "\nContent-Type: multipart/form-data; boundary=x\n") {
		t.Error(got)
	}
}

func TestContentEncodings(t *testing.T) {
	encoded := sitetest.Problem(415, "Content-Encoding is not supported; send the body as it is", "Accept-Encoding: identity")
	run(t, sitetest.New(t, ""), []step{
		{"one", "POST /cache/a?raw\nContent-Encoding: br\n\nv", encoded},
		{"in a list", "POST /cache/a\nContent-Encoding: identity, gzip\n\nv", encoded},
		{"in a second line", "POST /cache/a\nContent-Encoding: identity\nContent-Encoding: zstd\n\nv", encoded},
		{"none", "POST /cache/b\nContent-Encoding: , Identity\nContent-Encoding: \n\nv", created + "b\n\n"},
	})
}

// TestAContentTypeThatSomebodyElseWrote reads an entry that another program or an older
// version may have stored.
func TestAContentTypeThatSomebodyElseWrote(t *testing.T) {
	redis := redistest.Start(t)
	h := sitetest.Handler(t, "store "+redis.URL()+"\nnamespace cache\nlocal_ttl 0")
	s := sitetest.Serve(t, h)
	for _, contentType := range []string{"text/\xff", "a/b\nc: d", strings.Repeat("x", 256), "text/\u0085"} {
		s.Send("POST /cache/k\nContent-Type: text/x-own\n\nv")
		meta := redis.Client().HGet(t.Context(), "{cache}:meta", "k").Val()
		forged, _ := strings.CutSuffix(meta, "text/x-own")
		redis.Client().HSet(t.Context(), "{cache}:meta", "k", forged+contentType)

		if got := s.Send("GET /cache/k"); !sitetest.HasBody(got, "v") || !strings.Contains(got, "\nContent-Type: application/octet-stream\n") {
			t.Errorf("%q: %s", contentType, got)
		}
		_, batch, _ := strings.Cut(s.Send("GET /cache?key=k"), "\n\n")
		var answer struct {
			Entries []struct {
				ContentType string `json:"content_type"`
			}
		}
		if err := json.Unmarshal([]byte(batch), &answer); err != nil || len(answer.Entries) != 1 || answer.Entries[0].ContentType != "application/octet-stream" {
			t.Errorf("%q: %v in %s", contentType, err, batch)
		}
	}
}
