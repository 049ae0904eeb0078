package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// scrape returns our lines of Caddy's metrics, by name and labels, without
// the buckets.
func (s *server) scrape() map[string]string {
	s.t.Helper()
	a := get(s.t, s.plain, "http://"+s.admin+"/metrics")
	a.expectStatus(s.t, http.StatusOK)
	values := make(map[string]string)
	for line := range strings.Lines(a.body) {
		if name, ok := strings.CutPrefix(line, "caddy_redis_proxy_"); ok && !strings.Contains(name, "_bucket{") {
			name, value, _ := strings.Cut(strings.TrimSpace(name), "} ")
			values[name+"}"] = value
		}
	}
	return values
}

// expectMetrics compares lines of the metrics. An empty value means that the line must not
// exist. The labels of the cache are left out.
func (s *server) expectMetrics(cache string, want map[string]string) {
	s.t.Helper()
	got := s.scrape()
	for name, value := range want {
		metric, labels, _ := strings.Cut(name, "{")
		// Prometheus sorts labels by name.
		all := cache
		for _, label := range strings.Split(strings.TrimSuffix(labels, "}"), ",") {
			switch {
			case label == "":
			case label < "namespace":
				before, _, _ := strings.Cut(all, "namespace=")
				all = before + label + "," + all[len(before):]
			default:
				before, after, _ := strings.Cut(all, ",store=")
				all = before + "," + label + ",store=" + after
			}
		}
		if full := metric + "{" + all + "}"; got[full] != value {
			s.t.Errorf("%s is %q, want %q", full, got[full], value)
		}
	}
	if s.t.Failed() {
		s.t.Logf("%v", got)
	}
}

func TestMetricsSurviveReloads(t *testing.T) {
	redis := redistest.Start(t)
	for store, label := range map[string]string{
		"embedded": "embedded",
		"redis://:s3cret@" + strings.TrimPrefix(redis.URL(), "redis://") + "?protocol=3": redis.Addr + "/0",
	} {
		t.Run(label[:3], func(t *testing.T) {
			if label != "embedded" {
				if err := redis.Client().ConfigSet(t.Context(), "requirepass", "s3cret").Err(); err != nil {
					t.Fatal(err)
				}
			}
			// Two handlers of one cache, and another cache.
			site := func(more string) string {
				block := "store " + store + "\nmax_keys 2\n" + more
				return "redis_proxy {\n" + block + "\n}\nredis_proxy /kv/* {\n" + block + "\n}\nredis_proxy /other/* {\nnamespace other\n}"
			}
			s := startAdmin(t, site(""))
			cache := `namespace="cache",store="` + label + `"`
			at := "http://" + s.http
			for _, key := range []string{"a", "b", "c"} {
				post(t, s.plain, at+"/cache/"+key, "v").expectStatus(t, http.StatusCreated)
			}
			get(t, s.plain, at+"/kv/c").expectStatus(t, http.StatusOK)
			get(t, s.plain, at+"/cache/c").expectStatus(t, http.StatusOK)
			get(t, s.plain, at+"/other/c").expectStatus(t, http.StatusNotFound)
			want := map[string]string{
				`requests_total{operation="post",outcome="created"}`: "3",
				`requests_total{operation="get",outcome="store"}`:    "1",
				`requests_total{operation="get",outcome="local"}`:    "1",
				`requests_total{operation="get",outcome="absent"}`:   "0",
				`request_duration_seconds_count{operation="get"}`:    "2",
				`store_call_duration_seconds_count{call="fetch"}`:    "1",
				`store_errors_total{call="fetch",kind="timeout"}`:    "0",
				`queue_jobs{}`: "0", `evictions_total{}`: "1", `local_entries{}`: "1",
				`up{}`: "1", `keys{}`: "2", `max_keys{}`: "2",
			}
			if label != "embedded" {
				want[`breaker_state{state="closed"}`] = "1"
				want[`breaker_state{state="open"}`] = "0"
				want[`subscribed{}`] = "1"
			} else {
				want[`subscribed{}`] = ""
			}
			// A GET does not wait until its limits are in force. Scrapes reuse an answer of
			// the store for a second.
			eventually(t, "the limits of the other cache are told", func() bool {
				return s.scrape()[`max_keys{namespace="other",store="embedded"}`] != ""
			})
			s.expectMetrics(cache, want)
			s.expectMetrics(`namespace="other",store="embedded"`, map[string]string{
				`requests_total{operation="get",outcome="absent"}`: "1", `keys{}`: "0", `max_keys{}`: "10000",
			})

			s.reload(site("max_queue_jobs 7"))
			want[`max_queue_jobs{}`] = "7"
			s.expectMetrics(cache, want)
			s.validate(site("max_queue_jobs 8"))
			get(t, s.plain, at+"/cache/c").expectStatus(t, http.StatusOK)
			want[`requests_total{operation="get",outcome="local"}`] = "2"
			want[`request_duration_seconds_count{operation="get"}`] = "3"
			s.expectMetrics(cache, want)

			for name := range s.scrape() {
				if strings.Contains(name, "s3cret") {
					t.Errorf("a password is in %s", name)
				}
			}
		})
	}
}

// TestLimitsAreThoseInForce has two engines on one namespace, like two nodes: one Redis under
// two names. Both show the limits that were set last.
func TestLimitsAreThoseInForce(t *testing.T) {
	redis := redistest.Start(t)
	byName := strings.Replace(redis.Addr, "127.0.0.1", "localhost", 1)
	if byName == redis.Addr {
		t.Fatalf("%s has no other name", redis.Addr)
	}
	s := startAdmin(t, `
	redis_proxy {
		store redis://`+redis.Addr+`/0
		max_keys 7
		max_bytes 7000
	}
	redis_proxy /kv/* {
		store redis://`+byName+`/0
		max_keys 5
		max_bytes 5000
		eviction lru
	}`)
	check := func(keys, bytes int, eviction string) {
		t.Helper()
		for _, addr := range []string{redis.Addr, byName} {
			cache := `{namespace="cache",store="` + addr + `/0"}`
			// Scrapes reuse an answer of the store for a second.
			eventually(t, "the limits in force are told of "+addr, func() bool {
				got := s.scrape()
				return got["max_keys"+cache] == fmt.Sprint(keys) && got["max_bytes"+cache] == fmt.Sprint(bytes)
			})
		}
		own := make(map[any]bool)
		for _, c := range s.ask(http.StatusOK, "GET", "caches").Caches {
			own[c.Settings["max_keys"]] = true
			if c.State.MaxKeys != keys || c.State.MaxBytes != bytes || c.State.Eviction != eviction {
				t.Errorf("%s: in force are %+v, want %d, %d, %s", c.Store, c.State, keys, bytes, eviction)
			}
		}
		if !own[7.0] || !own[5.0] {
			t.Errorf("the nodes' own are %v", own)
		}
	}
	post(t, s.plain, "http://"+s.http+"/cache/a", "v").expectStatus(t, http.StatusCreated)
	check(7, 7000, "rank")
	post(t, s.plain, "http://"+s.http+"/kv/b", "v").expectStatus(t, http.StatusCreated)
	check(5, 5000, "lru")
}

func TestMetricsWhileRedisIsDown(t *testing.T) {
	redis := redistest.Start(t)
	s := startAdmin(t, "redis_proxy {\nstore "+redis.URL()+"\n}")
	cache := `namespace="cache",store="` + redis.Addr + `/0"`
	post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	s.expectMetrics(cache, map[string]string{`up{}`: "1", `keys{}`: "1"})
	redis.Kill()
	get(t, s.plain, "http://"+s.http+"/cache/x").expectStatus(t, http.StatusServiceUnavailable)
	eventually(t, "it is told that Redis is down", func() bool { return s.scrape()[`up{`+cache+`}`] == "0" })
	s.expectMetrics(cache, map[string]string{
		`keys{}`: "", `max_keys{}`: "",
		`requests_total{operation="post",outcome="created"}`: "1",
	})
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told that Redis is back", func() bool { return s.scrape()[`up{`+cache+`}`] == "1" })
	s.expectMetrics(cache, map[string]string{`keys{}`: "0"})
}

func TestPlaceholdersAndAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	s := start(t, `
	log {
		output file `+log+`
		format json
	}
	header >X-Redis-Proxy "{http.redis_proxy.status} {http.redis_proxy.key}"
	redis_proxy {
		placeholders
		pass_errors
	}
	redis_proxy /quiet/* {
		namespace quiet
	}
	handle_errors {
		respond "{http.redis_proxy.status} {http.redis_proxy.key}" {err.status_code}
	}`)
	at := "http://" + s.http
	get(t, s.plain, at+"/cache/k").expect(t, http.StatusNotFound, "absent k")
	created := postJSON(t, s.plain, at+"/cache/k", "1")
	if got := created.Header.Get("X-Redis-Proxy"); got != "created k" {
		t.Errorf("the header is %q", got)
	}
	get(t, s.plain, at+"/cache/k").expectStatus(t, http.StatusOK)
	get(t, s.plain, at+"/cache/k").expectStatus(t, http.StatusOK)
	get(t, s.plain, at+"/quiet/k").expectStatus(t, http.StatusNotFound)

	type line struct {
		Request    struct{ Method, URI string }
		RedisProxy *struct {
			Status, Key string
			TTL         *int
		} `json:"redis_proxy"`
	}
	var lines []line
	eventually(t, "the log has all requests", func() bool {
		lines = nil
		file, err := os.ReadFile(log)
		for text := range strings.Lines(string(file)) {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && strings.HasSuffix(l.Request.URI, "/k") {
				lines = append(lines, l)
			}
		}
		return err == nil && len(lines) == 5
	})
	for i, want := range []string{"absent", "created", "store", "local"} {
		l := lines[i].RedisProxy
		if l == nil || l.Status != want || l.Key != "k" || (l.TTL != nil) != (want == "local") {
			t.Errorf("%s: the log has %+v", want, l)
		}
	}
	if lines[4].RedisProxy != nil {
		t.Errorf("unasked, the log has %+v", lines[4].RedisProxy)
	}
}

// TestTheAccessLogCanBeRidOfKeys uses the filter in docs/metrics.md.
func TestTheAccessLogCanBeRidOfKeys(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	s := start(t, `
	log {
		output file `+log+`
		format filter {
			request>uri regexp ^(/[^/?%]*)?.* $1
			request>headers delete
			resp_headers>Location delete
			redis_proxy>key delete
		}
	}
	redis_proxy {
		placeholders
	}`)
	for _, what := range []string{"POST /s3cret", "GET /s3cret?raw", "GET ?key=s3cret", "GET /a/s3cret%2F"} {
		method, path, _ := strings.Cut(what, " ")
		do(t, s.plain, request{method, "http://" + s.http + "/cache" + path, "v", []string{"Referer", "/cache/s3cret", "X-Forwarded-Uri", "/cache/s3cret"}})
	}
	get(t, s.plain, "http://"+s.http+"/other?q=1")
	var lines string
	eventually(t, "the log has all requests", func() bool {
		file, err := os.ReadFile(log)
		lines = string(file)
		return err == nil && strings.Contains(lines, `"uri":"/other"`)
	})
	if n := strings.Count(lines, `"uri":"/cache"`); n != 4 || strings.Contains(lines, "s3cret") || !strings.Contains(lines, `"redis_proxy":{"status":"created"}`) {
		t.Errorf("%d requests for keys in\n%s", n, lines)
	}
}

// TestLogs reads the whole log of Caddy while Redis goes away and comes back.
func TestLogs(t *testing.T) {
	redis := redistest.Start(t)
	if err := redis.Client().ConfigSet(t.Context(), "requirepass", "s3cret-word").Err(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "caddy.log")
	s := start(t, "respond ok")
	var config map[string]any
	// Caddy itself logs its configuration at DEBUG.
	t.Setenv("TEST_REDIS_URL", "redis://:s3cret-word@"+redis.Addr)
	site := "redis_proxy {\nstore {env.TEST_REDIS_URL}\nlocal_ttl 0\n}"
	if err := json.Unmarshal(s.config(site, ""), &config); err != nil {
		t.Fatal(err)
	}
	config["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{
		"level": "DEBUG", "writer": map[string]any{"output": "file", "filename": log}, "encoder": map[string]any{"format": "json"},
	}}}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(b, true); err != nil {
		t.Fatal(err)
	}
	s.settle()
	url := "http://" + s.http + "/cache/s3cret-key"
	postJSON(t, s.plain, url, `"s3cret-value"`).expectStatus(t, http.StatusCreated)

	type line struct{ Level, Logger, Msg, Namespace, Store, Error, text string }
	read := func() (lines []line) {
		file, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(file)) {
			l := line{text: text}
			if json.Unmarshal([]byte(text), &l) == nil {
				lines = append(lines, l)
			}
		}
		return lines
	}
	count := func(level, logger, message string) (n int) {
		for _, l := range read() {
			if l.Level == level && strings.HasPrefix(l.Logger, logger) && strings.Contains(l.Msg, message) {
				n++
			}
		}
		return n
	}
	const ours = "http.handlers.redis_proxy"
	redis.Kill()
	eventually(t, "it is logged that Redis is lost", func() bool {
		get(t, s.plain, url).expectStatus(t, http.StatusServiceUnavailable)
		return count("warn", ours, "Redis does not answer") > 0
	})
	for range 20 {
		get(t, s.plain, url).expectStatus(t, http.StatusServiceUnavailable)
	}
	eventually(t, "go-redis has something to say", func() bool {
		get(t, s.plain, url)
		return count("debug", "redis", "go-redis") > 0
	})
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is logged that Redis is back", func() bool {
		_, _ = try(t.Context(), s.plain, request{"GET", url, "", nil})
		return count("info", ours, "Redis answers again") > 0
	})
	if lost, back := count("warn", ours, "Redis does not answer"), count("info", ours, "Redis answers again"); lost != 1 || back != 1 {
		t.Errorf("%d lines that Redis is lost, %d that it is back", lost, back)
	}
	for _, l := range read() {
		if l.Level == "warn" && strings.HasPrefix(l.Logger, ours) && (l.Namespace != "cache" || l.Store != redis.Addr+"/0" || l.Error == "") {
			t.Errorf("this does not say what is wrong with which cache: %s", l.text)
		}
		if strings.Contains(l.text, "s3cret-word") || strings.Contains(l.text, "s3cret-value") ||
			l.Level != "debug" && strings.Contains(l.text, "s3cret-key") {
			t.Errorf("this should not be logged: %s", l.text)
		}
	}
}
