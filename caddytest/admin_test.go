package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// adminAnswers has the fields of the admin API's answers that the tests read.
type adminAnswers struct {
	Caches []struct {
		ID        string
		Namespace string
		Store     string
		Settings  map[string]any
		State     struct {
			Reachable, Ready, Writes bool
			Cause, Error, Breaker    string
			Keys, Bytes              *int64
			MaxKeys                  int `json:"max_keys"`
			MaxBytes                 int `json:"max_bytes"`
			Eviction                 string
		} `json:"store_state"`
		Subscription struct {
			Subscribed bool
			Count      int
			Nodes      []struct {
				Name string
				This bool
			}
		}
		Figures map[string]any
		History map[string]any
		Ready   bool
		Writes  bool
		Cause   string
		Error   string
	}
	Ready, Writes bool

	Keys   []adminKey
	Cursor string
	adminKey
	Deleted int
	Error   string
}

type adminKey struct {
	Key         string
	Rank        float64
	Age, Bytes  int
	Type        string
	ContentType string `json:"content_type"`
	ETag        string
	ValueBytes  int `json:"value_bytes"`
	Cut         bool
	Value       json.RawMessage
	Text        *string
	Base64      *string
	Local       *struct {
		TTL float64 `json:"ttl_seconds"`
	}
}

// ask sends a request to the admin API, and checks the status of the answer.
func (s *server) ask(status int, method, path string) (got adminAnswers) {
	s.t.Helper()
	a := do(s.t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil})
	a.expectStatus(s.t, status)
	if a.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s %s may be cached: %v", method, path, a.Header)
	}
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	if status >= 400 && got.Error == "" && path != "ready" {
		s.t.Errorf("%s %s: no error in %s", method, path, a.body)
	}
	return got
}

// cache returns the path of the only cache.
func (s *server) cache() string {
	s.t.Helper()
	caches := s.ask(http.StatusOK, "GET", "caches").Caches
	if len(caches) != 1 {
		s.t.Fatalf("%d caches", len(caches))
	}
	return "caches/" + caches[0].ID
}

func names(keys []adminKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%s=%g", k.Key, k.Rank))
	}
	return strings.Join(all, " ")
}

func TestAdminListsTheRunningCaches(t *testing.T) {
	redis := redistest.Start(t)
	if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "app", "on", ">t0p-s3cret", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	store := "redis://app:t0p-s3cret@" + redis.Addr + "/0?protocol=2"
	s := startAdmin(t, `
	redis_proxy {
		store `+store+`
		max_keys 7
		local_ttl 90s
		redis_timeout 11m
	}
	redis_proxy /small/* {
		namespace small
	}`)
	post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	get(t, s.plain, "http://"+s.http+"/cache/k").expectStatus(t, http.StatusOK)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription stands", func() bool {
		return s.ask(http.StatusOK, "GET", "caches").Caches[0].Subscription.Subscribed
	})

	// Many reads do not make Redis list its connections each time.
	for range 50 {
		s.ask(http.StatusOK, "GET", "caches")
	}
	stats, err := redis.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	var calls int
	_, line, _ := strings.Cut(stats, "cmdstat_pubsub|numsub:")
	if _, err := fmt.Sscanf(line, "calls=%d", &calls); err != nil || calls < 1 || calls > 25 {
		t.Errorf("Redis was asked %d times who subscribes (%v)", calls, err)
	}

	all := s.ask(http.StatusOK, "GET", "caches").Caches
	if len(all) != 2 || all[0].Namespace != "cache" || all[1].Namespace != "small" {
		t.Fatalf("%+v", all)
	}
	c := all[0]
	if want := "redis://app:xxxxx@" + redis.Addr + "/0?protocol=2"; c.Store != want {
		t.Errorf("store is %s, want %s", c.Store, want)
	}
	if c.Settings["max_keys"] != 7.0 || c.Settings["local_ttl"] != "1m30s" || c.Settings["redis_timeout"] != "11m0s" {
		t.Errorf("settings are %v", c.Settings)
	}
	if !c.State.Reachable || c.State.Breaker != "closed" || *c.State.Keys != 1 || *c.State.Bytes != 2 || c.State.MaxKeys != 7 || c.State.Eviction != "rank" {
		t.Errorf("%+v", c.State)
	}
	nodes := c.Subscription.Nodes
	if len(nodes) != 1 || c.Subscription.Count != 1 || !nodes[0].This || !strings.HasPrefix(nodes[0].Name, fmt.Sprintf("%s:%d.", host, os.Getpid())) {
		t.Errorf("%+v", c.Subscription)
	}
	if c.Figures["requests"] == nil || c.Figures["local"] == nil || c.History["interval_seconds"] == nil {
		t.Errorf("%v, %v", c.Figures, c.History)
	}
	if e := all[1]; e.Store != "embedded" || !e.State.Reachable || e.State.Breaker != "" || *e.State.Keys != 0 || len(e.Subscription.Nodes) != 0 {
		t.Errorf("%+v", e)
	}
	for _, path := range []string{"caches", "caches/" + c.ID, "ready"} {
		if body := get(t, s.plain, "http://"+s.admin+"/redis_proxy/"+path).body; strings.Contains(body, "s3cret") {
			t.Errorf("%s has the password: %s", path, body)
		}
	}

	// The API shows changed settings once they are in force. A cache disappears with its
	// configuration.
	s.reload("redis_proxy {\nstore " + store + "\nmax_keys 8\n}")
	if got := s.ask(http.StatusOK, "GET", s.cache()); got.Error != "" {
		t.Error(got.Error)
	}
	if all = s.ask(http.StatusOK, "GET", "caches").Caches; all[0].ID != c.ID || all[0].Settings["max_keys"] != 8.0 {
		t.Errorf("%+v", all)
	}
	s.reload(`respond "nothing"`)
	if all = s.ask(http.StatusOK, "GET", "caches").Caches; len(all) != 0 {
		t.Errorf("%+v", all)
	}
	s.ask(http.StatusNotFound, "GET", "caches/"+c.ID)
	if !s.ask(http.StatusOK, "GET", "ready").Ready {
		t.Error("not ready without caches")
	}
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

func TestAdminDropsFromTheLocalTier(t *testing.T) {
	s := startAdmin(t, "redis_proxy {\nlocal_ttl 1h\n}")
	at := "http://" + s.http + "/cache/"
	cache := s.cache()
	for _, key := range []string{"a", "b"} {
		postJSON(t, s.plain, at+key, "1")
		get(t, s.plain, at+key)
	}
	isLocal := func(key string) bool {
		t.Helper()
		return s.ask(http.StatusOK, "GET", cache+"/keys/"+key).Local != nil
	}
	s.ask(http.StatusNoContent, "DELETE", cache+"/local/a")
	if isLocal("a") || !isLocal("b") {
		t.Error("not a alone was dropped")
	}
	get(t, s.plain, at+"a")
	s.ask(http.StatusNoContent, "DELETE", cache+"/local")
	if isLocal("a") || isLocal("b") {
		t.Error("something is local yet")
	}
	get(t, s.plain, at+"a").expect(t, http.StatusOK, `{"key":"a","value":1}`)
}

// TestAdminDeletesByPrefixWhileOthersWrite has two nodes: one Redis under two names, which
// makes two engines.
func TestAdminDeletesByPrefixWhileOthersWrite(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	const many = 10_000
	s := startAdmin(t, `
	redis_proxy {
		store `+redis.URL()+`
		max_keys 50000
	}
	redis_proxy /other/* {
		store unix://`+redis.Socket+`?db=0
		max_keys 50000
		local_ttl 1h
	}`)
	here, there := "http://"+s.http+"/cache/", "http://"+s.http+"/other/"
	var filling sync.WaitGroup
	for w := range 50 {
		filling.Go(func() {
			for i := w; i < many; i += 50 {
				post(t, s.plain, fmt.Sprint(here, "drop/", i), "v").expectStatus(t, http.StatusCreated)
			}
		})
	}
	filling.Wait()
	post(t, s.plain, here+"drop*", "v").expectStatus(t, http.StatusCreated)
	caches := s.ask(http.StatusOK, "GET", "caches").Caches
	if len(caches) != 2 {
		t.Fatalf("%d caches", len(caches))
	}
	cache := "caches/" + caches[0].ID
	eventually(t, "the other node keeps what it reads", func() bool {
		return strings.Contains(get(t, s.plain, there+"drop/7").Header.Get("Cache-Status"), "hit")
	})

	stop := make(chan struct{})
	wrote := make([]int, 8)
	var writing sync.WaitGroup
	for w := range wrote {
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				post(t, s.plain, fmt.Sprintf("%skeep/%d/%d", here, w, wrote[w]), "v").expectStatus(t, http.StatusCreated)
				wrote[w]++
			}
		})
	}
	got := s.ask(http.StatusOK, "DELETE", cache+"/keys?prefix=drop%2F")
	close(stop)
	writing.Wait()
	if got.Deleted != many {
		t.Errorf("deleted %d", got.Deleted)
	}
	left := int64(1) // drop*
	for _, n := range wrote {
		left += int64(n)
	}
	if n := client.HLen(t.Context(), "{cache}:values").Val(); n != left || left == 1 {
		t.Errorf("%d are left, want %d", n, left)
	}
	eventually(t, "the other node has heard of it", func() bool {
		return get(t, s.plain, there+"drop/7").StatusCode == http.StatusNotFound
	})

	// An empty prefix does not delete everything. To confirm needs the right name.
	for _, query := range []string{"", "?prefix=", "?confirm=", "?confirm=other", "?prefix=a&confirm=cache", "?prefx=a"} {
		s.ask(http.StatusBadRequest, "DELETE", cache+"/keys"+query)
	}
	if n := client.HLen(t.Context(), "{cache}:values").Val(); n != left {
		t.Errorf("%d are left, want %d", n, left)
	}
	if got := s.ask(http.StatusOK, "DELETE", cache+"/keys?prefix=a;b"); got.Deleted != 0 {
		t.Errorf("deleted %d", got.Deleted)
	}
	if got := s.ask(http.StatusOK, "DELETE", cache+"/keys?confirm=cache"); int64(got.Deleted) != left {
		t.Errorf("deleted %d, want %d", got.Deleted, left)
	}
	if n := client.HLen(t.Context(), "{cache}:values").Val(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestAdminSaysSoWhenRedisIsDown(t *testing.T) {
	redis := redistest.Start(t)
	site := func(timeout string) string {
		return "redis_proxy {\nstore " + redis.URL() + "\nredis_timeout " + timeout + "\n}"
	}
	s := startAdmin(t, site("10m"))
	post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	cache := s.cache()
	if got := s.ask(http.StatusOK, "GET", "ready"); !got.Ready || len(got.Caches) != 1 || !got.Caches[0].Ready {
		t.Errorf("%+v", got)
	}
	down := func() {
		t.Helper()
		for path, status := range map[string]int{
			"live": http.StatusOK, cache + "/keys": http.StatusServiceUnavailable, cache + "/keys/k": http.StatusServiceUnavailable,
		} {
			s.ask(status, "GET", path)
		}
		s.ask(http.StatusServiceUnavailable, "DELETE", cache+"/keys/k")
		s.ask(http.StatusServiceUnavailable, "DELETE", cache+"/keys?prefix=k")
		if got := s.ask(http.StatusServiceUnavailable, "GET", "ready"); got.Ready || got.Caches[0].Ready || got.Caches[0].Error == "" {
			t.Errorf("%+v", got)
		}
		state := s.ask(http.StatusOK, "GET", "caches").Caches[0].State
		if state.Reachable || state.Error == "" || state.Keys != nil || state.MaxKeys != 10_000 {
			t.Errorf("%+v", state)
		}
	}
	redis.Pause()
	begin := time.Now()
	if state := s.ask(http.StatusOK, "GET", "caches").Caches[0].State; state.Reachable || state.Keys != nil {
		t.Errorf("%+v", state)
	}
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("a look took %v, as long as clients may wait", took)
	}
	redis.Resume()

	s.reload(site("300ms"))
	redis.Pause()
	down()
	redis.Resume()
	redis.Kill()
	down()
	// Each answer says once what is wrong and what to do.
	for _, what := range []string{"GET ready", "GET " + cache, "GET " + cache + "/keys", "DELETE " + cache + "/keys/k"} {
		method, path, _ := strings.Cut(what, " ")
		eventually(t, what+" tells of the open breaker", func() bool {
			text := do(t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil}).body
			return strings.Contains(text, "store unavailable: the circuit breaker is open, since Redis does not answer: dial tcp") &&
				strings.Contains(text, "; see whether it runs, and can be reached from here") && strings.Count(text, "store unavailable") == 1
		})
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache is ready again", func() bool {
		return get(t, s.plain, "http://"+s.admin+"/redis_proxy/ready").StatusCode == http.StatusOK
	})
}

func TestAdminAnswersTheMethodsThatAPathHas(t *testing.T) {
	s := startAdmin(t, "redis_proxy")
	cache := s.cache()
	for path, want := range map[string]string{
		"live":               "GET, HEAD, OPTIONS",
		"ready":              "GET, HEAD, OPTIONS",
		"caches":             "GET, HEAD, OPTIONS",
		cache:                "GET, HEAD, OPTIONS",
		cache + "/keys":      "GET, HEAD, DELETE, OPTIONS",
		cache + "/keys/k":    "GET, HEAD, DELETE, OPTIONS",
		cache + "/local":     "DELETE, OPTIONS",
		cache + "/local/k":   "DELETE, OPTIONS",
		cache + "/keys/%2Fk": "GET, HEAD, DELETE, OPTIONS",
	} {
		for method, status := range map[string]int{"PATCH": http.StatusMethodNotAllowed, "OPTIONS": http.StatusNoContent} {
			a := do(t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil})
			if a.StatusCode != status || a.Header.Get("Allow") != want {
				t.Errorf("%s %s: %s, Allow %s, want %s", method, path, a.Status, a.Header.Get("Allow"), want)
			}
		}
	}
	for _, path := range []string{"nothing", "caches/none", "caches/", cache + "/nothing"} {
		s.ask(http.StatusNotFound, "GET", path)
	}
	if a := do(t, s.plain, request{"HEAD", "http://" + s.admin + "/redis_proxy/caches", "", nil}); a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("%s %q", a.Status, a.body)
	}
	// Caddy refuses requests of pages of other origins.
	elsewhere := []string{"Origin", "https://evil.example"}
	if a := do(t, s.plain, request{"DELETE", "http://" + s.admin + "/redis_proxy/" + cache + "/local", "", elsewhere}); a.StatusCode != http.StatusForbidden {
		t.Error(a.Status)
	}
}
