package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const ttlRange = "a whole number of seconds from 1 to 3153600000, or none for an entry that does not expire"

func status(answer string) string { return answer[:3] }

func badTTL(detail string) string { return sitetest.Problem(400, detail) }

func TestATTLMustBeAWholeNumberOfSeconds(t *testing.T) {
	s := sitetest.New(t, "methods GET HEAD POST PUT DELETE\nlisting")
	json := func(ttl string) string {
		return "POST /cache/k\nContent-Type: application/json\n\n" + `{"value":1,"ttl":` + ttl + `}`
	}
	form := func(body string) string {
		return "POST /cache/k\nContent-Type: application/x-www-form-urlencoded\n\n" + body
	}
	var steps []step
	for _, ttl := range []string{"0", "-1", "1.5", "x", "3153600001", "99999999999999999999", "1h"} {
		steps = append(steps, step{"?ttl=" + ttl, "PUT /cache/k?ttl=" + ttl + "\n\nv", badTTL("the ttl is " + ttl + "; write " + ttlRange)})
	}
	for _, ttl := range []string{"0", "-1", "1.5", "60.0", "1e3", `"60"`, "null", "true", "[]"} {
		steps = append(steps, step{"JSON " + ttl, json(ttl), badTTL("the ttl is " + ttl + "; write " + ttlRange)})
	}
	steps = append(
		steps,
		step{"empty", "PUT /cache/k?ttl=\n\nv", badTTL("the ttl is empty; write " + ttlRange)},
		step{"twice in the query", "PUT /cache/k?ttl=1&ttl=1\n\nv", badTTL("the query has the parameter ttl twice; write it once")},
		step{"twice in JSON", json(`1,"ttl":1`), badTTL("the field ttl is there twice")},
		step{"twice in a form", form("value=1&ttl=1&ttl=2"), badTTL("the field ttl is there twice")},
		step{"in the query and in JSON", strings.Replace(json("1"), "/k", "/k?ttl=1", 1), badTTL("the query and the body both have a ttl; write it once")},
		step{"in the query and in a form", strings.Replace(form("value=1&ttl=none"), "/k", "/k?ttl=1", 1), badTTL("the query and the body both have a ttl; write it once")},
		step{"in another case", "PUT /cache/k?TTL=1\n\nv", badTTL(`the query has the parameter "TTL"; parameters are case-sensitive, write it ttl`)},
		step{"on a GET", "GET /cache/k?ttl=1", badTTL("the query has the parameter ttl, and a read changes no entry; send it with the write, or leave it out")},
		step{"escaped on a GET", "GET /cache/k?%74tl=1", badTTL("the query has the parameter ttl, and a read changes no entry; send it with the write, or leave it out")},
		step{"on a batch read", "GET /cache?key=k&ttl=1", badTTL("the query has the parameter ttl, and a read changes no entry; send it with the write, or leave it out")},
		step{"on a listing", "GET /cache?prefix=k&ttl=1", badTTL("the query has the parameter ttl, and a read changes no entry; send it with the write, or leave it out")},
		step{"on a deletion by prefix", "DELETE /cache?prefix=k&ttl=1", badTTL("the query has a ttl, and a DELETE stores nothing that could expire; leave it out")},
		step{"long", json("[" + strings.Repeat("1,", 1000) + "1]"), badTTL("the ttl is [" + strings.Repeat("1,", 19) + "1…; write " + ttlRange)},
		step{"a listing with a parameter in another case", "GET /cache?Prefix=k", badTTL(`the query has the parameter "Prefix"; parameters are case-sensitive, write it prefix`)},
		step{"on a DELETE", "DELETE /cache/k?ttl=1", badTTL("the query has a ttl, and a DELETE stores nothing that could expire; leave it out")},
	)
	run(t, s, steps)
	if got := s.Send("GET /cache/k"); status(got) != "404" {
		t.Errorf("something was stored: %s", got)
	}
}

// inBubble is a handler under the clock of a synctest bubble, which a connection would stop.
type inBubble struct {
	*testing.T
	handler caddyhttp.MiddlewareHandler
}

func bubble(t *testing.T, settings string, run func(*inBubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := sitetest.Parse(t, "namespace "+sitetest.Namespace(t)+"\n"+settings)
		if err := h.Provision(sitetest.Context(t)); err != nil {
			t.Fatal(err)
		}
		run(&inBubble{t, h})
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
}

// send sends a request without a Content-Type, unless the body is JSON or a form.
func (b *inBubble) send(method, target, body string, header ...string) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	switch {
	case strings.HasPrefix(body, "{"):
		r.Header.Set("Content-Type", "application/json")
	case strings.HasPrefix(body, "value="):
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	if err := b.handler.ServeHTTP(w, r, nil); err != nil {
		b.Errorf("%s %s: %v", method, target, err)
	}
	return w
}

// want sends a request without a body, or with the first text as its body.
func (b *inBubble) want(status int, method, target string, body ...string) *httptest.ResponseRecorder {
	b.Helper()
	w := b.send(method, target, strings.Join(body, ""))
	if w.Code != status {
		b.Errorf("%s %s: %d %s, want %d", method, target, w.Code, w.Body, status)
	}
	return w
}

// life returns how much longer an answer says that its entry lives; 0 for ever.
func (b *inBubble) life(w *httptest.ResponseRecorder) time.Duration {
	b.Helper()
	expires := w.Header().Get("Expires")
	if expires == "" {
		return 0
	}
	at, err := http.ParseTime(expires)
	if err != nil {
		b.Fatal(err)
	}
	return time.Until(at)
}

func TestAnEntryExpires(t *testing.T) {
	bubble(t, "methods GET HEAD POST PUT DELETE\nlocal_ttl 1h\nstale_if_error 1h", func(b *inBubble) {
		b.want(201, "POST", "/cache/query?ttl=60", "v")
		b.want(201, "POST", "/cache/json", `{"value":1,"ttl":60}`)
		b.want(201, "POST", "/cache/form", "value=1&ttl=60")
		b.want(201, "POST", "/cache", `{"key":"named","ttl":60,"value":1}`)
		b.want(201, "PUT", "/cache/raw?raw&ttl=60", "v")
		b.want(201, "POST", "/cache/stays", "v")
		keys := []string{"query", "json", "form", "named", "raw"}
		for _, key := range keys {
			if w := b.want(200, "GET", "/cache/"+key); b.life(w) != time.Minute {
				t.Errorf("%s lives for %v", key, b.life(w))
			}
			w := b.want(200, "GET", "/cache/"+key)
			if got := w.Header().Get("Cache-Status"); got != "redis_proxy; hit; ttl=60" {
				t.Errorf("%s is fresh for longer than it lives: %s", key, got)
			}
		}
		time.Sleep(59 * time.Second)
		for _, key := range keys {
			if w := b.want(200, "GET", "/cache/"+key); b.life(w) != time.Second {
				t.Errorf("%s lives for %v", key, b.life(w))
			}
		}
		time.Sleep(time.Second)
		for _, key := range keys {
			b.want(404, "GET", "/cache/"+key)
			b.want(404, "GET", "/cache/"+key+"?raw")
		}
		if w := b.want(200, "GET", "/cache?key=query&key=stays"); !strings.Contains(w.Body.String(), `"absent":["query"]`) || b.life(w) != 0 {
			t.Errorf("batch read: %s, %v", w.Body, w.Header())
		}
		b.want(201, "POST", "/cache/query", "new")
		b.want(404, "DELETE", "/cache/json")
		if w := b.send("PUT", "/cache/form", "v", "If-Match", "*"); w.Code != 412 {
			t.Errorf("PUT with If-Match: %d", w.Code)
		}
		b.want(201, "PUT", "/cache/form", "v")
	})
}

func TestAPutDecidesAnewHowLongItsEntryLives(t *testing.T) {
	bubble(t, "methods GET PUT\ndefault_ttl 10s", func(b *inBubble) {
		for _, c := range []struct {
			query string
			want  time.Duration
		}{{"", 10 * time.Second}, {"?ttl=30", 30 * time.Second}, {"?ttl=none", 0}, {"", 10 * time.Second}} {
			b.send("PUT", "/cache/k"+c.query, "v")
			if got := b.life(b.want(200, "GET", "/cache/k")); got != c.want {
				t.Errorf("%q: it lives for %v, want %v", c.query, got, c.want)
			}
		}
	})
}

func TestMaxTTLBoundsEveryLife(t *testing.T) {
	bubble(t, "methods GET PUT\nmax_ttl 1m", func(b *inBubble) {
		const most = "a whole number of seconds from 1 to 60"
		for ttl, detail := range map[string]string{
			"61":   "the ttl is 61; write " + most + ", the limit that max_ttl sets",
			"none": "the ttl is none; write " + most + ": max_ttl in the configuration of redis_proxy lets every entry expire",
		} {
			if w := b.want(400, "PUT", "/cache/k?ttl="+ttl, "v"); !strings.Contains(w.Body.String(), detail) {
				t.Errorf("%s: %s", ttl, w.Body)
			}
		}
		b.want(201, "PUT", "/cache/k", "v")
		if got := b.life(b.want(200, "GET", "/cache/k")); got != time.Minute {
			t.Errorf("without a ttl, it lives for %v", got)
		}
		b.want(200, "PUT", "/cache/k?ttl=60", "v")
	})
}

func TestCachesDownstreamKeepNothingForLongerThanItLives(t *testing.T) {
	for setting, want := range map[string]string{
		"no-cache":                                  "no-cache",
		"public, max-age=60, s-maxage=10":           "public, max-age=20, s-maxage=10",
		"max-age=5, stale-while-revalidate=60":      "max-age=5, stale-while-revalidate=15",
		`MAX-AGE="900" , stale-if-error=1`:          "max-age=20, stale-if-error=0",
		"max-age=99999999999999999999":              "max-age=20",
		`no-cache="a, b", max-age=21`:               `no-cache="a, b", max-age=20`,
		"max-age=20, must-revalidate, s-maxage=000": "max-age=20, must-revalidate, s-maxage=000",
	} {
		bubble(t, "cache_control `"+setting+"`", func(b *inBubble) {
			b.want(201, "POST", "/cache/k?ttl=20", "value")
			b.want(201, "POST", "/cache/stays", "value")
			for name, w := range map[string]*httptest.ResponseRecorder{
				"GET":   b.want(200, "GET", "/cache/k"),
				"HEAD":  b.want(200, "HEAD", "/cache/k"),
				"batch": b.want(200, "GET", "/cache?key=stays&key=k"),
				"range": b.send("GET", "/cache/k", "", "Range", "bytes=1-2"),
				"304":   b.send("GET", "/cache/k", "", "If-None-Match", "*"),
			} {
				if got := w.Header().Get("Cache-Control"); got != want || b.life(w) != 20*time.Second {
					t.Errorf("%s, %s: %q, expires in %v, want %q", setting, name, got, b.life(w), want)
				}
			}
			if w := b.want(200, "GET", "/cache/stays"); w.Header().Get("Cache-Control") != setting || b.life(w) != 0 {
				t.Errorf("%s, of an entry that does not expire: %v", setting, w.Header())
			}
		})
	}
}

// TestAnEntryInRedisExpires is what TestAnEntryExpires is for the embedded store, with real
// seconds.
func TestAnEntryInRedisExpires(t *testing.T) {
	server := redistest.Start(t)
	s := sitetest.New(t, "store "+server.URL()+"\nmethods GET POST PUT\nlocal_ttl 1h")
	for i := range 3 {
		if got := s.Send(fmt.Sprintf("POST /cache/%d?ttl=1\n\nv", i)); status(got) != "201" {
			t.Fatal(got)
		}
	}
	// One is read before and kept locally.
	s.Send("GET /cache/0")
	for deadline := time.Now().Add(time.Minute); ; {
		gone := 0
		for i := range 3 {
			if status(s.Send(fmt.Sprintf("GET /cache/%d", i))) == "404" {
				gone++
			}
		}
		// Removed without a request that writes.
		if keys := server.Client().HLen(t.Context(), "{"+sitetest.Namespace(t)+"}:values").Val(); gone == 3 && keys == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 3 are gone", gone)
		}
	}
}
