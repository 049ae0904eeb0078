package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const (
	hintJSON = `; expected {"value": …}, or {"key": …, "value": …} without a key in the path`
	hintForm = `; expected a form value=…, or key=…&value=… without a key in the path (to store the body itself, send another Content-Type such as text/plain, or add ?raw)`
)

func TestBadBodies(t *testing.T) {
	postJSON := func(body string) string { return "POST /cache/k\nContent-Type: application/json\n\n" + body }
	postForm := func(body string) string {
		return "POST /cache/k\nContent-Type: application/x-www-form-urlencoded\n\n" + body
	}
	collectionJSON := func(body string) string { return "POST /cache\nContent-Type: application/json\n\n" + body }
	bad := func(detail string) string { return sitetest.Problem(400, detail) }
	const needsKey = "the path names no key, so the body must name one: send application/json with the fields key and value, a form with both, or application/x-ndjson with many operations, one a line; send any other value to /cache/{key}"

	run(t, sitetest.New(t, "max_value_size 64"), []step{
		{"not JSON", postJSON("world"), bad("the body is not valid JSON: invalid character 'w' looking for beginning of value" + hintJSON)},
		{"no bytes", "POST /cache/k\nContent-Type: application/json\nContent-Length: 0\n\n", bad("the body is not valid JSON: it is empty" + hintJSON)},
		{"no object", postJSON(`["value"]`), bad("the body is not a JSON object" + hintJSON)},
		{"cut off", postJSON(`{"value": [1,`), bad("the body is not valid JSON: unexpected end of JSON input" + hintJSON)},
		{"cut off after the value", postJSON(`{"value": 1`), bad("the body is not valid JSON: unexpected end of JSON input" + hintJSON)},
		{"a bad number", postJSON(`{"value": 01}`), bad("the body is not valid JSON: invalid character '1' after object key:value pair" + hintJSON)},
		{"something follows", postJSON(`{"value": 1} {}`), bad("the body is not valid JSON: invalid character '{' after top-level value" + hintJSON)},
		{"no value", postJSON(`{"key": "k"}`), bad("the body has no field value" + hintJSON)},
		{"an empty object", postJSON(`{}`), bad("the body has no field value" + hintJSON)},
		{"an unknown field", postJSON(`{"value": 1, "life": 2}`), bad(`unknown field "life"` + hintJSON)},
		{"names are case-sensitive", postJSON(`{"Value": 1}`), bad(`unknown field "Value"` + hintJSON)},
		{"value twice", postJSON(`{"value": 1, "value": 1}`), bad("the field value is there twice")},
		{"value twice, once escaped", postJSON(`{"value": null, "v\u0061lue": 1}`), bad("the field value is there twice")},
		{"key twice", postJSON(`{"key": "k", "key": "k", "value": 1}`), bad("the field key is there twice")},
		{"another key", postJSON(`{"key": "K", "value": 1}`), bad("the field key is not the key in the path; leave it out")},
		{"a key that is no string", postJSON(`{"key": 1, "value": 1}`), bad("the field key is not a string")},
		{"not UTF-8", postJSON("{\"value\": \"\xff\"}"), bad("the body is not valid JSON: it is not valid UTF-8" + hintJSON)},
		{"a byte order mark", postJSON("\ufeff{\"value\": 1}"), bad("the body is not valid JSON: it begins with a byte order mark (U+FEFF); leave that out" + hintJSON)},
		{"UTF-16", postJSON("{\x00}\x00"), bad("the body is not valid JSON: it is UTF-16; convert it to UTF-8" + hintJSON)},
		{"gzip that no header tells of", postJSON("\x1f\x8b\x08"), bad("the body is not valid JSON: it is compressed with gzip; decompress it first" + hintJSON)},
		{"a page", postJSON("<html></html>"), bad("the body is not valid JSON: it is HTML, perhaps the page of an error" + hintJSON)},
		{"single quotes", postJSON("'{value: 1}'"), bad("the body is not valid JSON: it begins with a single quote, which some shells do not take away; put it into double quotes, and a backslash before those within" + hintJSON)},
		{"a form, sent as JSON", collectionJSON("key=a&value=b"), bad("the body is not valid JSON: it looks like a form; send it as application/x-www-form-urlencoded" + hintJSON)},
		{"JSON, sent as a form", postForm(`{"value": "a=b&value=c"}`), bad("the body is JSON, sent as a form, as curl -d does; add the header Content-Type: application/json")},
		{"JSON without an =, sent as a form", postForm(" {\"value\": 1}"), bad("the body is JSON, sent as a form, as curl -d does; add the header Content-Type: application/json")},
		{"a multipart form, sent as a form", postForm("--x\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\n1"), bad("the body is not a form: it is a multipart form (curl -F, or FormData in a browser)" + hintForm)},
		{"half a surrogate pair", postJSON(`{"value": "\ud800"}`), bad("the field value is not valid Unicode: it has half of a surrogate pair")},
		{"half of one in the key", collectionJSON(`{"key": "a\udc00", "value": 1}`), bad("the field key is not valid Unicode: it has half of a surrogate pair")},
		{"a form without value", postForm("world"), bad("the form has no field value" + hintForm)},
		{"an empty form", "POST /cache/k\nContent-Type: application/x-www-form-urlencoded", bad("the form has no field value" + hintForm)},
		{"a form with an unknown field", postForm("value=1&life=2"), bad(`unknown field "life"` + hintForm)},
		{"a form with value twice", postForm("value=1&value=2"), bad("the field value is there twice")},
		{"a form with another key", postForm("value=1&key=2"), bad("the field key is not the key in the path; leave it out")},
		{"a form that is not UTF-8", postForm("value=%ff"), bad("the field value is not valid UTF-8")},
		{"no key anywhere", collectionJSON(`{"value": 1}`), bad("the body has no field key, and the path names none either")},
		{"an empty key", collectionJSON(`{"key": "", "value": 1}`), bad("the key is empty")},
		{"a bad key", collectionJSON(`{"key": "a/../b", "value": 1}`), bad("the key has a . or .. segment, which clients resolve before they send a path")},
		{"bytes at the collection", "POST /cache\n\nv", sitetest.Problem(415, needsKey)},
		{"raw at the collection", "POST /cache?raw\nContent-Type: application/json\n\n{}", sitetest.Problem(415, needsKey)},
		{"a long content type", "POST /cache/k\nContent-Type: text/" + strings.Repeat("x", 251) + "\n\nv", bad("the content type has 256 bytes; at most 255 are allowed")},
		{"too large, as announced", "POST /cache/k\n\n" + strings.Repeat("x", 65), sitetest.Problem(413, "the body has more than 64 bytes, the limit that max_value_size sets")},
		{
			"too large, unannounced", "POST /cache/k\nTransfer-Encoding: chunked\n\n41\r\n" + strings.Repeat("x", 65) + "\r\n0\r\n\r\n",
			sitetest.Problem(413, "the body has more than 64 bytes, the limit that max_value_size sets"),
		},
		{"nothing was stored", "GET /cache/k", sitetest.Problem(404, detailAbsent, statusAbsent)},
		{"just as large as allowed", "POST /cache/k\n\n" + strings.Repeat("x", 64), created + "k\n\n"},
		{"a content type just as long", "POST /cache/t\nContent-Type: text/" + strings.Repeat("x", 250) + "\n\nv", created + "t\n\n"},
	})
}

// TestRoundTrips stores values over HTTP and reads them back.
func TestRoundTrips(t *testing.T) {
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16-8)

	t.Run("JSON stays as it is to the byte", func(t *testing.T) {
		s := sitetest.New(t, "")
		for i, value := range []string{
			`1e400`, `1.0`, `-0`, `12345678901234567890`, `0.1E+07`, `true`, `null`, `[]`, `{}`, "[ 1,\n\t2 ]",
			`{"b":1,"a":2,"b":3}`, `{"value": "\ud800 <&> \u003c \/"}`, `["é","\u00e9"]`, `[[[[]]]]`,
			`["` + big + `"]`,
		} {
			key := "k" + strconv.Itoa(i)
			s.Send("POST /cache/" + key + "\nContent-Type: application/json\n\n{ \"value\" : " + value + " }")
			want := `{"key":"` + key + `","value":` + value + `}`
			for range 2 { // from the store, then from the local tier
				if _, got, _ := strings.Cut(s.Send("GET /cache/"+key), "\n\n"); got != want {
					t.Errorf("got %.100s, want %.100s", got, want)
				}
				if _, got, _ := strings.Cut(s.Send("GET /cache/"+key+"?raw"), "\n\n"); got != value {
					t.Errorf("got %.100s, want %.100s", got, value)
				}
			}
		}
	})

	t.Run("a string comes back as an equal one", func(t *testing.T) {
		s := sitetest.New(t, "")
		for i, quoted := range []string{
			`""`, `"world"`, `"<a href=\"x\">&amp;</a>"`, `"\u003c\u2028\/"`, `"\ud83d\ude00 😀"`, `"\\ud800"`, `"\u0000\u001f\b\f\n\r\t\u007f"`,
			`"` + big + `"`, `"` + strings.Repeat(`\n`, 1000) + `"`,
		} {
			var value string
			if err := json.Unmarshal([]byte(quoted), &value); err != nil {
				t.Fatal(err)
			}
			key := "k" + strconv.Itoa(i)
			s.Send("POST /cache/" + key + "\nContent-Type: application/json\n\n{\"value\":" + quoted + "}")
			for range 2 {
				_, body, _ := strings.Cut(s.Send("GET /cache/"+key), "\n\n")
				var got struct{ Key, Value string }
				if err := json.Unmarshal([]byte(body), &got); err != nil || got.Key != key || got.Value != value {
					t.Errorf("got %.100s, want %.100s (%v)", body, quoted, err)
				}
				if _, got, _ := strings.Cut(s.Send("GET /cache/"+key+"?raw"), "\n\n"); got != value {
					t.Errorf("got %.100q, want %.100q", got, value)
				}
			}
		}
	})

	t.Run("bytes stay as they are with their type", func(t *testing.T) {
		s := sitetest.New(t, "")
		for i, c := range []struct{ contentType, query, body, want string }{
			{"image/png", "", string(everyByte), "image/png"},
			{"", "", string(everyByte), "application/octet-stream"},
			{"Text/HTML; charset=latin1", "", "<b>\xe9", "Text/HTML; charset=latin1"},
			{"application/json", "?raw", `{"value": 1} {`, "application/json"},
			{"application/x-www-form-urlencoded", "?raw", "world", "application/x-www-form-urlencoded"},
			{"application/problem+json", "", "{}", "application/problem+json"},
			{"text/plain", "", big, "text/plain"},
		} {
			key := "k" + strconv.Itoa(i)
			header := ""
			if c.contentType != "" {
				header = "\nContent-Type: " + c.contentType
			}
			s.Send("POST /cache/" + key + c.query + header + "\n\n" + c.body)
			for _, query := range []string{"", "?raw"} {
				head, got, _ := strings.Cut(s.Send("GET /cache/"+key+query), "\n\n")
				if got != c.body || !strings.Contains(head, "\nContent-Type: "+c.want+"\n") {
					t.Errorf("got %s and %.100q, want %s and %.100q", head, got, c.want, c.body)
				}
			}
		}
	})

	t.Run("a form field is a string", func(t *testing.T) {
		s := sitetest.New(t, "")
		s.Send("POST /cache/k\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n\nvalue=a+b%22%C3%A9&key=k")
		if _, got, _ := strings.Cut(s.Send("GET /cache/k"), "\n\n"); got != `{"key":"k","value":"a b\"é"}` {
			t.Error(got)
		}
	})
}

func TestReadErrors(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	tooLarge := &http.MaxBytesError{Limit: 3}
	for _, c := range []struct {
		name   string
		ctx    context.Context
		err    error
		status int
		passed bool
	}{
		{"request_body max_size", t.Context(), caddyhttp.Error(http.StatusRequestEntityTooLarge, tooLarge), 413, true},
		{"http.MaxBytesReader", t.Context(), tooLarge, 413, true},
		{"a status of another handler", t.Context(), caddyhttp.Error(http.StatusTeapot, io.EOF), 418, true},
		{"the client hung up", t.Context(), io.ErrUnexpectedEOF, 499, true},
		{"the client is gone", gone, errors.New("http2: stream closed"), 499, true},
		{"too slow", t.Context(), fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), 408, false},
		{"too slow, which net/http ends the context with", gone, os.ErrDeadlineExceeded, 408, false},
		{"bad chunks", t.Context(), errors.New("malformed chunked encoding"), 400, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sitetest.Handler(t, "")
			r := httptest.NewRequest("POST", "/cache/k", io.MultiReader(strings.NewReader("ab"), failing{c.err})).WithContext(c.ctx)
			w := httptest.NewRecorder()
			err := h.ServeHTTP(w, r, nil)
			if c.passed {
				if herr, ok := err.(caddyhttp.HandlerError); !ok || herr.StatusCode != c.status {
					t.Errorf("got %v", err)
				}
			} else if err != nil || w.Code != c.status {
				t.Errorf("got %v, %d", err, w.Code)
			}
		})
	}
}

// TestABodyThatPausesGets408 runs without Caddy's own bound on pauses, because that bound
// may be switched off.
func TestABodyThatPausesGets408(t *testing.T) {
	for name, c := range map[string]struct {
		settings  string
		readBody  time.Duration
		protocols func(*http.Protocols)
	}{
		"HTTP/1.1":          {"body_timeout 100ms", 0, func(p *http.Protocols) { p.SetHTTP1(true) }},
		"HTTP/2":            {"body_timeout 100ms", 0, func(p *http.Protocols) { p.SetHTTP2(true) }},
		"Caddy's read_body": {"body_timeout 1h", 100 * time.Millisecond, func(p *http.Protocols) { p.SetHTTP1(true) }},
	} {
		for _, size := range []int64{2, 2 * running.SmallBody, -1} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				h := sitetest.Handler(t, c.settings)
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
					r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, &caddyhttp.Server{ReadTimeout: caddy.Duration(c.readBody)}))
					if err := h.ServeHTTP(w, r, nil); err != nil {
						t.Error(err)
					}
				}))
				server.EnableHTTP2 = true
				server.StartTLS()
				defer server.Close()
				transport := server.Client().Transport.(*http.Transport)
				transport.Protocols = new(http.Protocols)
				c.protocols(transport.Protocols)

				body, writer := io.Pipe()
				defer writer.Close()
				go func() { _, _ = writer.Write([]byte("v")) }()
				ctx, cancel := context.WithTimeout(t.Context(), sitetest.Patience)
				defer cancel()
				r, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/cache/k", body)
				if err != nil {
					t.Fatal(err)
				}
				r.ContentLength = size
				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusRequestTimeout || resp.Close != (resp.ProtoMajor == 1) {
					t.Errorf("%s %s, closed: %t", resp.Proto, resp.Status, resp.Close)
				}
				if held := sitetest.CacheOf(t, h).Bodies.Stats(); held.Bytes != 0 {
					t.Errorf("held are %+v", held)
				}
				if got := sitetest.CacheOf(t, h).Stats().Requests["post"]["slow_body"]; got != 1 {
					t.Errorf("%d are counted", got)
				}
			})
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestReadsNoFurtherThanTheLimit sends a body that never ends.
func TestReadsNoFurtherThanTheLimit(t *testing.T) {
	h := sitetest.Handler(t, "max_value_size 1000")
	body := &endless{}
	r := httptest.NewRequest("POST", "/cache/k", body)
	r.ContentLength = -1
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, nil); err != nil {
		t.Fatal(err)
	}
	if w.Code != 413 || body.read > 1001 {
		t.Errorf("status %d after %d bytes", w.Code, body.read)
	}

	body = &endless{}
	r = httptest.NewRequest("POST", "/cache/k", body)
	r.ContentLength = 1001
	w = httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, nil); err != nil {
		t.Fatal(err)
	}
	if w.Code != 413 || body.read > 0 {
		t.Errorf("status %d after %d bytes", w.Code, body.read)
	}
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}
