package integration

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// replicated starts a Redis with a replica that follows it.
func replicated(t *testing.T) (redis, replica *redistest.Server) {
	redis = redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(redis.Addr)
	replica = redistest.Start(t, "--replicaof", host, port)
	client := redis.Client()
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(client.Info(t.Context(), "replication").Val(), "state=online")
	})
	return redis, replica
}

// expectDetail wants a 503 whose detail has a text.
func expectDetail(t *testing.T, a answer, want string) {
	t.Helper()
	a.expectStatus(t, http.StatusServiceUnavailable)
	var problem struct{ Detail string }
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || !strings.Contains(problem.Detail, want) {
		t.Errorf("%v in %s, want %s", err, a.body, want)
	}
}

func TestAWriteThatNoReplicaHasIsNotAcknowledged(t *testing.T) {
	redis, replica := replicated(t)
	site := "redis_proxy {\nstore " + redis.URL() + "\nlocal_ttl 0\nmethods GET POST DELETE\nredis_timeout 3s\nDURABILITY\n}"
	s := startAdmin(t, strings.Replace(site, "DURABILITY", "durability replicas 1", 1))
	url := "http://" + s.http + "/cache/"
	post(t, s.plain, url+"k", "v").expectStatus(t, http.StatusCreated)
	if got := replica.Client().HGet(t.Context(), "{cache}:values", "k").Val(); got != "v" {
		t.Errorf("the replica has %q", got)
	}

	replica.Pause()
	expectDetail(t, post(t, s.plain, url+"new", "v"), "the write is in the store, but was not made as safe in time as `durability` asks, and may be lost")
	// Others see it all the same.
	if got := get(t, s.plain, url+"new?raw"); got.body != "v" {
		t.Errorf("a read: %s", got.body)
	}
	// The client repeats its request: a 409 would say that the value is safe.
	expectDetail(t, post(t, s.plain, url+"new", "v"), "nothing was changed because of what the store holds, but that was not made as safe")
	counted := ""
	for series, value := range s.scrape() {
		if strings.Contains(series, `outcome="not_durable"`) && strings.Contains(series, `operation="post"`) {
			counted = value
		}
	}
	if counted != "2" {
		t.Errorf("%q POSTs are counted as not durable", counted)
	}
	// Another configuration counts from the next batch on.
	s.reload(strings.Replace(site, "DURABILITY", "", 1))
	post(t, s.plain, url+"other", "v").expectStatus(t, http.StatusCreated)
	s.reload(strings.Replace(site, "DURABILITY", "durability replicas 1", 1))

	replica.Resume()
	var last answer
	eventually(t, "the request has an answer", func() bool {
		last = post(t, s.plain, url+"new", "v")
		return last.StatusCode != http.StatusServiceUnavailable
	})
	last.expectStatus(t, http.StatusConflict)
	if got := replica.Client().HGet(t.Context(), "{cache}:values", "new").Val(); got != "v" {
		t.Errorf("the replica has %q", got)
	}
}

// Before Redis 7.2 there is no way to wait for the disk.
func TestFsyncNeedsAServerThatCanDoIt(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes")
	known, err := redis.Client().Do(t.Context(), "COMMAND", "INFO", "waitaof").Slice()
	if err != nil {
		t.Fatal(err)
	}
	s := startAdmin(t, "redis_proxy {\nstore "+redis.URL()+"\ndurability fsync\n}")
	write := post(t, s.plain, "http://"+s.http+"/cache/k", "v")
	ready := s.ask(http.StatusOK, "GET", "ready")
	if known[0] != nil {
		write.expectStatus(t, http.StatusCreated)
		if !ready.Writes {
			t.Errorf("%+v", ready)
		}
		return
	}
	expectDetail(t, write, "the store is older than Redis 7.2, which `durability fsync` needs, nothing was changed")
	get(t, s.plain, "http://"+s.http+"/cache/k").expectStatus(t, http.StatusNotFound)
	if got := ready.Caches[0]; !got.Ready || got.Writes || got.Cause != "too_old" || !strings.Contains(got.Error, "Redis 7.2") {
		t.Errorf("%+v", got)
	}
}
