package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

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
	const many = 3_000
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

	// An empty prefix does not delete everything. confirm must be the namespace.
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
