package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

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
	silent := func() float64 { return *s.ask(http.StatusOK, "GET", "caches").Caches[0].Subscription.Silent }
	first := silent()
	eventually(t, "silent_seconds grow", func() bool { return silent() > first+0.5 })
	redis.Resume()
	eventually(t, "silent_seconds begin anew", func() bool { return silent() < first+0.5 })

	s.reload(site("300ms"))
	redis.Pause()
	down()
	redis.Resume()
	redis.Kill()
	down()
	// Each answer says once what is wrong, and gives advice.
	for _, what := range []string{"GET ready", "GET " + cache, "GET " + cache + "/keys", "DELETE " + cache + "/keys/k"} {
		method, path, _ := strings.Cut(what, " ")
		eventually(t, what+" tells of the open breaker", func() bool {
			text := do(t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil}).body
			return strings.Contains(text, "store unavailable: the circuit breaker is open, since Redis does not answer: dial tcp") &&
				strings.Contains(text, "; check that it runs and that this host can reach it") && strings.Count(text, "store unavailable") == 1
		})
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cache is ready again", func() bool {
		return get(t, s.plain, "http://"+s.admin+"/redis_proxy/ready").StatusCode == http.StatusOK
	})
}
