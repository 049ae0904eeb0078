package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// TestEachCauseIsToldToClientsAndHealthChecks spoils a Redis that Caddy uses, and reads all
// answers that tell of it.
func TestEachCauseIsToldToClientsAndHealthChecks(t *testing.T) {
	web := freeAddr(t)
	for _, c := range []struct {
		name  string
		spoil []any
		store string // if not the URL of the Redis
		cause string
		// detail is in the answers to clients.
		detail string
		reads  bool
		// settings are others than all have.
		settings string
	}{
		{name: "nothing is wrong", reads: true},
		{name: "another type", spoil: []any{"SET", "{cache}:ranks", "mine"}, cause: "wrong_type", detail: "another program uses the keys of this cache"},
		{name: "an unknown policy", spoil: []any{"HSET", "{cache}:state", "eviction", "of-tomorrow"}, cause: "unknown_eviction", detail: "eviction policy that this one does not know"},
		{name: "another layout", spoil: []any{"HSET", "{cache}:state", "layout", "99"}, cause: "unknown_layout", detail: "in another layout"},
		{name: "a read that is forbidden", spoil: []any{"ACL", "SETUSER", "default", "-hmget"}, cause: "permission", detail: "lacks a right"},
		{name: "a write that is forbidden", spoil: []any{"ACL", "SETUSER", "default", "-set"}, cause: "permission", detail: "lacks a right", reads: true},
		{name: "a full Redis", spoil: []any{"CONFIG", "SET", "maxmemory", "1"}, cause: "full", detail: "the store is full, nothing was changed", reads: true},
		{name: "a replica", spoil: []any{"REPLICAOF", "127.0.0.1", "1"}, cause: "read_only", detail: "the store is read-only, nothing was changed", reads: true},
		{name: "too few replicas", spoil: []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, cause: "too_few_replicas", detail: "too few replicas, nothing was changed", reads: true},
		{name: "a wrong password", store: "redis://:wrong@REDIS", cause: "credentials", detail: "does not accept the user or the password of this server, nothing was changed"},
		{name: "a database that is not there", store: "redis://REDIS/99", cause: "no_database", detail: "does not have the database"},
		{name: "a plain port for TLS", store: "rediss://REDIS", cause: "tls", settings: "redis_timeout 500ms", // all calls take that long
			detail: "the TLS connection to the store failed"},
		{name: "nobody", store: "redis://" + web, detail: "the store cannot be reached, nothing was changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			redis := redistest.Start(t)
			client := redis.Client()
			address := redis.URL()
			if c.store != "" {
				address = strings.Replace(c.store, "REDIS", redis.Addr, 1)
			}
			if c.cause == "credentials" {
				if err := client.ConfigSet(t.Context(), "requirepass", "s3cret").Err(); err != nil {
					t.Fatal(err)
				}
			}
			s := startAdmin(t, "redis_proxy {\nstore "+address+"\nlocal_ttl 0\nmax_keys 1\n"+c.settings+"\n}")
			if c.store == "" {
				post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusCreated)
			}
			if c.spoil != nil {
				if err := client.Do(t.Context(), c.spoil...).Err(); err != nil {
					t.Fatal(err)
				}
			}

			status, readStatus, writeStatus := http.StatusOK, http.StatusOK, http.StatusServiceUnavailable
			if !c.reads {
				status, readStatus = http.StatusServiceUnavailable, http.StatusServiceUnavailable
			}
			if c.detail == "" {
				writeStatus = http.StatusCreated
			}
			ready := s.ask(status, "GET", "ready")
			if got := ready.Caches[0]; ready.Ready != c.reads || got.Ready != c.reads || got.Cause != c.cause ||
				ready.Writes != (c.detail == "") || got.Writes != ready.Writes || (got.Error == "") != (c.detail == "") {
				t.Errorf("%+v", ready)
			}
			state := s.ask(http.StatusOK, "GET", "caches").Caches[0].State
			if state.Ready != c.reads || state.Cause != c.cause || state.Reachable != (c.reads || c.cause != "" && c.cause != "tls") {
				t.Errorf("%+v", state)
			}
			up, writable := 0, 0
			for series, value := range s.scrape() {
				switch {
				case strings.HasPrefix(series, "up{") && value == "1":
					up++
				case strings.HasPrefix(series, "writable{") && value == "1":
					writable++
				}
			}
			if up == 1 != c.reads || writable == 1 != (c.detail == "") {
				t.Errorf("up is %d, writable %d", up, writable)
			}

			read := get(t, s.plain, "http://"+s.http+"/cache/k")
			write := post(t, s.plain, "http://"+s.http+"/cache/new", "v")
			read.expectStatus(t, readStatus)
			write.expectStatus(t, writeStatus)
			for _, a := range []answer{read, write} {
				if a.StatusCode != http.StatusServiceUnavailable {
					continue
				}
				var problem struct{ Detail string }
				if err := json.Unmarshal([]byte(a.body), &problem); err != nil || !strings.Contains(problem.Detail, c.detail) {
					t.Errorf("%v in %s", err, a.body)
				}
				for _, secret := range []string{redis.Addr, "127.0.0.1", "wrong", "default", "of-tomorrow", "{cache}"} {
					if strings.Contains(problem.Detail, secret) {
						t.Errorf("%q is in %s", secret, problem.Detail)
					}
				}
			}
		})
	}
}
