package integration

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

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
	stats = strings.ReplaceAll(stats, "pubsub|numsub:", "pubsub:") // Redis 6.2 counts whole commands
	_, line, _ := strings.Cut(stats, "cmdstat_pubsub:")
	if _, err := fmt.Sscanf(line, "calls=%d", &calls); err != nil || calls < 1 || calls > 25 {
		t.Errorf("Redis was asked %d times who subscribes (%v)", calls, err)
	}

	listed := s.ask(http.StatusOK, "GET", "caches")
	if listed.Build != version.This() {
		t.Errorf("the build is %+v, want %+v", listed.Build, version.This())
	}
	all := listed.Caches
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
	if c.Subscription.Silent == nil || all[1].Subscription.Silent != nil {
		t.Errorf("want silent_seconds of the one with a subscription alone: %+v, %+v", c.Subscription, all[1].Subscription)
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

// A namespace is enough while only one cache has it.
func TestAdminFindsACacheByItsNamespace(t *testing.T) {
	redis := redistest.Start(t)
	cache := func(path, store, namespace string) string {
		return "redis_proxy " + path + " {\nstore " + store + "\nnamespace " + namespace + "\n}\n"
	}
	s := startAdmin(t, cache("/cache/*", "embedded", "shop")+cache("/two/*", redis.URL(), "two.1"))
	at := "http://" + s.http
	post(t, s.plain, at+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	post(t, s.plain, at+"/cache/l", "v").expectStatus(t, http.StatusCreated)
	var shop string
	for _, c := range s.ask(http.StatusOK, "GET", "caches").Caches {
		if c.Namespace == "shop" {
			shop = c.ID
		}
	}
	for _, name := range []string{shop, "shop", "sh%6Fp"} {
		if got := s.ask(http.StatusOK, "GET", "caches/"+name+"/keys").Keys; len(got) != 2 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := s.ask(http.StatusOK, "GET", "caches/two%2E1/keys").Keys; len(got) != 0 {
		t.Errorf("%v", got)
	}
	s.ask(http.StatusOK, "DELETE", "caches/shop/keys/k")
	s.ask(http.StatusNoContent, "DELETE", "caches/shop/local")
	if got := s.ask(http.StatusOK, "DELETE", "caches/shop/keys?confirm=shop").Deleted; got != 1 {
		t.Errorf("%d keys were deleted", got)
	}
	s.ask(http.StatusNotFound, "GET", "caches/sho")

	// The same namespace in another store. The other one is named like the first one's id.
	s.reload(cache("/cache/*", "embedded", "shop") + cache("/two/*", redis.URL(), "shop") + cache("/three/*", redis.URL(), shop))
	post(t, s.plain, at+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	for _, request := range []string{"GET caches/shop", "GET caches/shop/keys/k", "DELETE caches/shop/keys/k"} {
		method, path, _ := strings.Cut(request, " ")
		if got := s.ask(http.StatusConflict, method, path).Error; !strings.HasPrefix(got, "several caches have this namespace; name one by its id: shop.") ||
			strings.Count(got, "shop.") != 2 || !strings.Contains(got, shop) {
			t.Errorf("%s: %s", request, got)
		}
	}
	if got := s.ask(http.StatusOK, "GET", "caches/"+shop+"/keys").Keys; len(got) != 1 {
		t.Errorf("%v", got)
	}
}
