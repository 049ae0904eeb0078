package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const (
	healthy = `{"ready":true,"writes":true,"caches":1,"cause":"","shutting_down":false}` + "\n"
	living  = `{"live":true}` + "\n"
	serving = `{"serving":true}` + "\n"
)

func TestHealthChecksOnASite(t *testing.T) {
	for _, c := range []struct{ name, site, prefix string }{
		{"at the root", "redis_proxy_health", ""},
		{"an inline matcher", "redis_proxy_health /health/*", "/health"},
		{"path_prefix", "redis_proxy_health {\npath_prefix /a/b\n}", "/a/b"},
		{"handle_path", "handle_path /other/* {\nredis_proxy_health\n}", "/other"},
		{"within handle_path", "handle_path /x/* {\nredis_proxy_health /y/*\n}", "/x/y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The cache would take any path for a key.
			s := start(t, "redis_proxy /*\n"+c.site)
			url := "http://" + s.http + c.prefix
			for name, body := range map[string]string{"/ready": healthy, "/live": living, "/serving": serving} {
				got := get(t, s.plain, url+name)
				got.expect(t, http.StatusOK, body)
				for header, want := range map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff"} {
					if got.Header.Get(header) != want {
						t.Errorf("%s: %s: %s, want %s", name, header, got.Header.Get(header), want)
					}
				}
				get(t, s.http2, strings.Replace(url, "http://"+s.http, "https://"+s.https, 1)+name).expect(t, http.StatusOK, body)
				do(t, s.plain, request{"HEAD", url + name, "", nil}).expect(t, http.StatusOK, "")
				for _, method := range []string{"POST", "DELETE", "OPTIONS"} {
					refused := do(t, s.plain, request{method, url + name, "", nil})
					refused.expectStatus(t, http.StatusMethodNotAllowed)
					if allow := refused.Header.Get("Allow"); allow != "GET, HEAD" {
						t.Errorf("%s %s: Allow: %s", method, name, allow)
					}
				}
			}
			for _, key := range []string{"/elsewhere", "/readyz", "/live/x", "/READY", "/servings", "/serving/x"} {
				post(t, s.plain, "http://"+s.http+key, "v").expectStatus(t, http.StatusCreated)
			}
		})
	}
}

func TestHealthChecksRunBehindTheGuardsOfASite(t *testing.T) {
	s := start(t, "redis_proxy_health\n@guarded path /ready\nrespond @guarded 401\nredis_proxy")
	get(t, s.plain, "http://"+s.http+"/ready").expectStatus(t, http.StatusUnauthorized)
	get(t, s.plain, "http://"+s.http+"/live").expectStatus(t, http.StatusOK)
}

func TestASiteWithoutACacheIsNotReady(t *testing.T) {
	s := start(t, "redis_proxy_health")
	get(t, s.plain, "http://"+s.http+"/ready").expect(t, http.StatusServiceUnavailable,
		`{"ready":false,"writes":false,"caches":0,"cause":"","shutting_down":false}`+"\n")
	get(t, s.plain, "http://"+s.http+"/live").expectStatus(t, http.StatusOK)
	get(t, s.plain, "http://"+s.http+"/serving").expect(t, http.StatusOK, serving)
}

// readiness returns the answer of /ready once its check is not an old one.
func readiness(t *testing.T, s *server, status int) (got struct {
	Ready, Writes bool
	Caches        int
	Cause         string
},
) {
	t.Helper()
	var a answer
	eventually(t, fmt.Sprint("/ready answers ", status), func() bool {
		a = get(t, s.plain, "http://"+s.http+"/ready")
		return a.StatusCode == status
	})
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return got
}

func TestReadyTellsOfAnOutageAndOfNothingElse(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "redis_proxy_health\nredis_proxy {\nstore "+redis.URL()+"\nredis_timeout 300ms\nnamespace secret\n}")
	readiness(t, s, http.StatusOK)
	redis.Kill()
	if got := readiness(t, s, http.StatusServiceUnavailable); got.Ready || got.Writes || got.Caches != 1 {
		t.Errorf("%+v", got)
	}
	get(t, s.plain, "http://"+s.http+"/ready").expect(t, http.StatusServiceUnavailable,
		`{"ready":false,"writes":false,"caches":1,"cause":"","shutting_down":false}`+"\n")
	get(t, s.plain, "http://"+s.http+"/live").expect(t, http.StatusOK, living)
	get(t, s.plain, "http://"+s.http+"/serving").expect(t, http.StatusOK, serving)
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	readiness(t, s, http.StatusOK)
}

// A full Redis must not take every node out of service, since all can still read.
func TestAFullRedisIsReady(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "redis_proxy_health\nredis_proxy {\nstore "+redis.URL()+"\n}")
	if err := redis.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/ready says that writes fail", func() bool { return !readiness(t, s, http.StatusOK).Writes })
	if got := readiness(t, s, http.StatusOK); !got.Ready || got.Cause != "full" {
		t.Errorf("%+v", got)
	}
}

func TestReadyNamesTheCauseOfReads(t *testing.T) {
	full, forbidden := redistest.Start(t), redistest.Start(t)
	s := start(t, "redis_proxy_health\nredis_proxy /a/* {\nstore "+full.URL()+"\n}\nredis_proxy /b/* {\nstore "+forbidden.URL()+"\n}")
	if got := readiness(t, s, http.StatusOK); got.Caches != 2 {
		t.Errorf("%+v", got)
	}
	if err := full.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := forbidden.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-hmget").Err(); err != nil {
		t.Fatal(err)
	}
	if got := readiness(t, s, http.StatusServiceUnavailable); got.Ready || got.Writes || got.Cause != "permission" {
		t.Errorf("%+v", got)
	}
}

// Strangers may ask as often as they like: Redis is asked once a second.
func TestManyHealthChecksAskRedisSeldom(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "redis_proxy_health\nredis_proxy {\nstore "+redis.URL()+"\n}")
	get(t, s.plain, "http://"+s.http+"/ready").expect(t, http.StatusOK, healthy)
	scripts := func() int {
		info, err := redis.Client().Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(info) {
			name, figures, _ := strings.Cut(line, ":calls=")
			if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
				var calls int
				if _, err := fmt.Sscanf(figures, "%d,", &calls); err != nil {
					t.Fatal(err)
				}
				n += calls
			}
		}
		return n
	}
	begin, before := time.Now(), scripts()
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for range 50 {
				get(t, s.plain, "http://"+s.http+"/ready").expectStatus(t, http.StatusOK)
			}
		})
	}
	clients.Wait()
	asked := scripts() - before
	if most := int(time.Since(begin)/time.Second) + 1; asked > most {
		t.Errorf("1000 health checks ran %d scripts in %s, want at most %d", asked, time.Since(begin), most)
	}
}
