package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func names(keys []adminKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%s=%g", k.Key, k.Rank))
	}
	return strings.Join(all, " ")
}

func TestAdminPagesThroughKeys(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	for _, store := range []string{"embedded", redis.URL()} {
		t.Run(strings.SplitN(store, ":", 2)[0], func(t *testing.T) {
			s := startAdmin(t, "redis_proxy {\nstore "+store+"\nlocal_ttl 0s\n}")
			at := "http://" + s.http + "/cache/"
			for i := range 5 {
				postJSON(t, s.plain, fmt.Sprint(at, "k", i), "1").expectStatus(t, http.StatusCreated)
			}
			for _, key := range []string{"k1", "k3", "k3"} {
				get(t, s.plain, at+key).expectStatus(t, http.StatusOK)
			}
			const order = "k0=0 k2=0 k4=0 k1=1 k3=2"
			cache := s.cache()
			for range 2 { // twice, since the first read must not move anything
				all := s.ask(http.StatusOK, "GET", cache+"/keys")
				if got := names(all.Keys); got != order || all.Cursor != "" {
					t.Errorf("%s, then %q", got, all.Cursor)
				}
				first := s.ask(http.StatusOK, "GET", cache+"/keys?limit=2&order=valued")
				second := s.ask(http.StatusOK, "GET", cache+"/keys?limit=2&order=valued&cursor="+url.QueryEscape(first.Cursor))
				third := s.ask(http.StatusOK, "GET", cache+"/keys?limit=2&order=valued&cursor="+url.QueryEscape(second.Cursor))
				got := names(first.Keys) + " | " + names(second.Keys) + " | " + names(third.Keys)
				if got != "k3=2 k1=1 | k4=0 k2=0 | k0=0" || third.Cursor != "" {
					t.Errorf("%s, then %q", got, third.Cursor)
				}
			}
			if k := s.ask(http.StatusOK, "GET", cache+"/keys").Keys[0]; k.Age != 4 || k.Bytes != 3 || k.Type != "json" || k.ETag == "" {
				t.Errorf("%+v", k)
			}
			if store != "embedded" {
				if got := ranks(t, client, "cache"); got != order {
					t.Errorf("the ranks are %s", got)
				}
			}
			for _, query := range []string{"limit=0", "limit=1001", "limit=x", "order=up", "cursor=x", "limit=1&limit=2", "what=1", "limit=%zz"} {
				s.ask(http.StatusBadRequest, "GET", cache+"/keys?"+query)
			}
		})
	}
}

func TestAdminLooksAtOneKey(t *testing.T) {
	s := startAdmin(t, "redis_proxy {\nmethods GET POST PUT\n}")
	at := "http://" + s.http + "/cache/"
	cache := s.cache()
	look := func(path string) adminAnswers { return s.ask(http.StatusOK, "GET", cache+"/keys/"+path) }

	tag := postJSON(t, s.plain, at+"text", `"<é>\n"`).Header.Get("Etag")
	if got := look("text"); string(got.Value) != `"<é>\n"` || got.Type != "string" || got.Base64 != nil || got.Local != nil || got.ETag != tag || got.Rank != 0 || got.Key != "text" {
		t.Errorf("%+v", got)
	}
	get(t, s.plain, at+"text").expectStatus(t, http.StatusOK)
	if got := look("text"); got.Local == nil || got.Local.TTL <= 0 || got.Local.TTL > 30 || got.Rank != 1 {
		t.Errorf("%+v", got)
	}
	postJSON(t, s.plain, at+"json", `{"n":12345678901234567890}`)
	if got := look("json"); string(got.Value) != `{"n":12345678901234567890}` || got.Type != "json" || got.Rank != 0 {
		t.Errorf("%+v", got)
	}
	post(t, s.plain, at+"raw", "\xff\x00", "Content-Type", "image/x")
	if got := look("raw"); got.Base64 == nil || *got.Base64 != "/wA=" || got.Value != nil || got.Type != "raw" || got.ContentType != "image/x" {
		t.Errorf("%+v", got)
	}
	do(t, s.plain, request{"PUT", at + "empty", "", []string{"Content-Type", "text/plain"}})
	if got := look("empty"); got.Base64 == nil || *got.Base64 != "" {
		t.Errorf("%+v", got)
	}

	// An answer has no more of a value than requested, and never half a character.
	for _, c := range []struct{ path, value, text, base64 string }{
		{"text?value_limit=2", `"<"`, "", ""},
		{"text?value_limit=0", `""`, "", ""},
		{"json?value_limit=8", "", `{"n":123`, ""},
		{"raw?value_limit=1", "", "", "/w=="},
	} {
		got := look(c.path)
		text, bytes := "", ""
		if got.Text != nil {
			text = *got.Text
		}
		if got.Base64 != nil {
			bytes = *got.Base64
		}
		if !got.Cut || string(got.Value) != c.value || text != c.text || bytes != c.base64 {
			t.Errorf("%s: %+v with %s, %q, %q", c.path, got, got.Value, text, bytes)
		}
	}
	if got := look("text?value_limit=5"); got.Cut || got.ValueBytes != 5 || string(got.Value) != `"<é>\n"` {
		t.Errorf("%+v", got)
	}
	for _, query := range []string{"value_limit=-1", "value_limit=x", "limit=1", "value_limit=1&value_limit=2"} {
		s.ask(http.StatusBadRequest, "GET", cache+"/keys/text?"+query)
	}

	// Age counts all later writes, even those that create nothing.
	if got := look("text"); got.Age != 3 {
		t.Errorf("%d writes since text was created", got.Age)
	}
	do(t, s.plain, request{"PUT", at + "raw", "again", []string{"Content-Type", "image/x"}}).expectStatus(t, http.StatusOK)
	if got, replaced := look("text"), look("raw"); got.Age != 4 || replaced.Age != 2 {
		t.Errorf("after a PUT, %d and %d writes since", got.Age, replaced.Age)
	}

	// A key is percent-decoded once. Caddy's admin endpoint cleans paths, so some slashes
	// must be escaped.
	for _, key := range []string{"a/b", "a//b", "a%2Fb", "%", "é", "x?y#z", "/", "a b"} {
		post(t, s.plain, at+url.PathEscape(key), key, "Content-Type", "text/plain").expectStatus(t, http.StatusCreated)
		if got := look(url.PathEscape(key)); got.Key != key {
			t.Errorf("%q for %q", got.Key, key)
		}
		if got := s.ask(http.StatusOK, "DELETE", cache+"/keys/"+url.PathEscape(key)); got.Deleted != 1 {
			t.Errorf("%q: %+v", key, got)
		}
		get(t, s.plain, at+url.PathEscape(key)).expectStatus(t, http.StatusNotFound)
	}
	s.ask(http.StatusNotFound, "GET", cache+"/keys/none")
	s.ask(http.StatusNotFound, "DELETE", cache+"/keys/none")
	s.ask(http.StatusBadRequest, "GET", cache+"/keys/")
}
