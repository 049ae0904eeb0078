package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestBatchReads(t *testing.T) {
	s := sitetest.New(t, "methods GET HEAD POST")
	for _, request := range []string{
		"POST /cache/text\nContent-Type: application/json\n\n{\"value\": \"a\\\"b\"}",
		"POST /cache/number\nContent-Type: application/json\n\n{\"value\": 1.0}",
		"POST /cache/bytes\nContent-Type: image/png\n\n\xff\x00",
	} {
		if got := s.Send(request); !strings.HasPrefix(got, "201 ") {
			t.Fatal(got)
		}
	}
	tags := regexp.MustCompile(`\\"[0-9a-f]{9,24}\\"`)
	get := func(request string) string { return tags.ReplaceAllString(s.Send(request), `<etag>`) }
	answer := func(status, body string) string {
		return "200 OK\nCache-Control: no-cache\nCache-Status: redis_proxy; " + status + "\nContent-Length: <n>\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n" + body
	}
	length := regexp.MustCompile(`Content-Length: \d+`)
	const all = `{"entries":[{"key":"bytes","base64":"/wA=","content_type":"image/png","etag":"<etag>"},` +
		`{"key":"text","value":"a\"b","etag":"<etag>"},{"key":"number","value":1.0,"etag":"<etag>"}],"absent":["no \"key\""]}`
	const query = "GET /cache?key=bytes&key=text&key=no+%22key%22&key=number&key=text"
	for _, c := range []struct{ name, request, want string }{
		{"each once, in the order asked", query, answer("fwd=miss", all)},
		{"one is absent, so the store is asked again", query, answer("fwd=miss", all)},
		{
			"all local", "GET /cache?key=text&key=bytes",
			answer("hit; ttl=<ttl>", `{"entries":[{"key":"text","value":"a\"b","etag":"<etag>"},{"key":"bytes","base64":"/wA=","content_type":"image/png","etag":"<etag>"}],"absent":[]}`),
		},
		{"no-cache", "GET /cache?key=text\nCache-Control: no-cache", answer("fwd=request", `{"entries":[{"key":"text","value":"a\"b","etag":"<etag>"}],"absent":[]}`)},
		{"only absent ones", "GET /cache?key=x&key=y", answer("fwd=miss", `{"entries":[],"absent":["x","y"]}`)},
		{"HEAD", "HEAD /cache?key=text", strings.Replace(answer("hit; ttl=<ttl>", ""), "Content-Length: <n>\n", "", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := length.ReplaceAllString(get(c.request), "Content-Length: <n>"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}

	const (
		hint = "; name 1 to 100 keys, as in ?key=a&key=b, or POST a bulk request, as application/x-ndjson"
		off  = "; listing the keys is switched off: `listing` is not in the configuration of redis_proxy"
	)
	for _, c := range []struct {
		name, request string
		status        int
		detail        string
	}{
		{"no query", "GET /cache", 400, "the query names no key" + hint + off},
		{"another parameter", "GET /cache?k=a", 400, "the query names no key" + hint + off},
		{"too many", "GET /cache?" + strings.Repeat("key=a&", 101), 400, "the query names 101 keys" + hint},
		{"a bad key", "GET /cache?key=a&key=..", 400, `"..": the key has a . or .. segment, which clients resolve before they send a path`},
		{"not UTF-8", "GET /cache?key=%ff", 400, `"\\xff": the key is not valid UTF-8`},
		{"not local", "GET /cache?key=text&key=x\nCache-Control: only-if-cached", 504, "the local tier has no fresh value, and only-if-cached forbids asking the store; repeat the request without only-if-cached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := s.Send(c.request), sitetest.Problem(c.status, c.detail); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestABatchReadOfAHundredKeysIsWholeAndValid(t *testing.T) {
	h := sitetest.Handler(t, "")
	s := sitetest.Serve(t, h)
	var query strings.Builder
	for i := range 100 {
		fmt.Fprintf(&query, "key=k%d&", i)
		if i%2 == 0 {
			v := store.Value{Data: fmt.Appendf(nil, "%d", i), Kind: store.JSON}
			if _, err := sitetest.CacheOf(t, h).Engine.Write(t.Context(), store.Write{Op: store.Create, Key: fmt.Sprintf("k%d", i), Value: v}); err != nil {
				t.Fatal(err)
			}
		}
	}
	response, err := http.Get("http://" + s.Addr + "/cache?" + query.String())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	var answer struct {
		Entries []struct {
			Key   string
			Value int
			ETag  string
		}
		Absent []string
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Entries) != 50 || len(answer.Absent) != 50 {
		t.Fatalf("%d entries, %d absent", len(answer.Entries), len(answer.Absent))
	}
	for n, e := range answer.Entries {
		single, err := sitetest.CacheOf(t, h).Engine.Get(t.Context(), e.Key, engine.Read{})
		if err != nil || e.Value != 2*n || e.ETag != httpapi.ETag(single.Entry.Version) {
			t.Errorf("entry %d: %+v", n, e)
		}
	}
}

// The answer names all that a GET of the collection can be in a configuration, and nothing
// that it cannot.
func TestAReadThatAsksForNothingSaysWhatItCanAskFor(t *testing.T) {
	const (
		keys = "the query names no key; name 1 to 100 keys, as in ?key=a&key=b"
		bulk = ", or POST a bulk request, as application/x-ndjson"
		off  = "; listing the keys is switched off: `listing` is not in the configuration of redis_proxy"
	)
	for directive, want := range map[string]string{
		"":                              keys + bulk + off,
		"methods GET":                   keys + off,
		"methods GET\nwatch 1":          keys + ", or send ?watch for a stream of changes" + off,
		"methods GET HEAD POST":         keys + bulk + off,
		"methods GET PUT POST\nwatch 1": keys + bulk + ", or send ?watch for a stream of changes" + off,
	} {
		if got := sitetest.New(t, directive).Send("GET /cache"); got != sitetest.Problem(400, want) {
			t.Errorf("%q: %s", directive, got)
		}
	}
	if got := sitetest.New(t, "listing").Send("GET /cache"); got != listed(`{"keys":[]}`) {
		t.Error(got)
	}
}

func TestAnEmptyKeySaysWhatThePathWithoutASlashDoes(t *testing.T) {
	const empty = "the key is empty; name one in the path, /cache/{key}"
	for _, c := range []struct{ directive, request, more string }{
		{"", "GET /cache/", ", or leave the last slash out to read several keys"},
		{"", "POST /cache/\n\nv", ", or leave the last slash out to create an entry whose key is in the body"},
		{"methods PUT", "PUT /cache/\n\nv", ""},
		{"methods DELETE", "DELETE /cache/", ""},
		{"listing", "GET /cache/", ", or leave the last slash out to read several keys or list them"},
		{"listing\nmethods DELETE", "DELETE /cache/", ", or leave the last slash out to delete the keys with a prefix"},
	} {
		if got := sitetest.New(t, c.directive).Send(c.request); got != sitetest.Problem(400, empty+c.more) {
			t.Errorf("%s, %s: %s", c.directive, c.request, got)
		}
	}
}
