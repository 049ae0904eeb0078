package redisstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestErrorsOfURLsTellNoPassword(t *testing.T) {
	for _, url := range []string{
		"redis://:pa/sec%ret@host/0",
		"redis://:p@ss/secret@host/0",
		"redis://user:1234/secret@host:6379/0",
		"redis://user:secret@host:6379/secret",
		"redis://user:1?secret=@host:6379/0",
		"redis://user:secret#x@host:6379/0",
		"redis://user:secret@host:port/0",
		"secret://host",
		"redis://host/0?secret=1",
		"redis://host/0?db=secret",
		"\x00secret",
		"unix://user:secret@?db=secret",
	} {
		target, err := Parse(url)
		if err == nil {
			// A URL that means something else than its author thinks.
			if strings.Contains(target.Identity(), "secret") {
				t.Errorf("%q: identity %s", url, target.Identity())
			}
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestPortsAndDatabasesThatThereCannotBeAreErrors(t *testing.T) {
	for url, want := range map[string]string{
		"redis://host:0/0":        "port",
		"redis://host:65536/0":    "port",
		"rediss://host:99999/0":   "port",
		"redis://host/-1":         "database",
		"redis://host:6379/-1":    "database",
		"unix:///run/redis?db=-3": "database",
		"redis://host:65535/99":   "", // the server may have so many
		"redis://[::1]:6379/0":    "",
		"unix:///run/redis:99999": "",
	} {
		if _, err := Parse(url); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestTheIdentityIsServerAndDatabase(t *testing.T) {
	for url, want := range map[string]string{
		"redis://user:pw@localhost:7000/3": "tcp:localhost:7000/3",
		"redis://localhost":                "tcp:localhost:6379/0",
		"rediss://other@localhost/1":       "tcp:localhost:6379/1",
		"unix:///run/redis.sock?db=2":      "unix:/run/redis.sock/2",
	} {
		target, err := Parse(url)
		if err != nil || target.Identity() != want {
			t.Errorf("%s: %v, %v; want %s", url, target, err, want)
		}
	}
}

func TestOptionsThatAreOursAreErrors(t *testing.T) {
	for _, option := range []string{"max_retries=3", "min_retry_backoff=1s", "dial_timeout=1s", "read_timeout=1s", "write_timeout=1s", "pool_timeout=1s", "pool_size=3"} {
		name, _, _ := strings.Cut(option, "=")
		if _, err := Parse("redis://localhost/0?" + option); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", option, err)
		}
	}
	if _, err := Parse("redis://localhost/0?protocol=2&conn_max_idle_time=1m"); err != nil {
		t.Error(err)
	}
}

func TestASocketServesLikeAPort(t *testing.T) {
	f := newFixture(t)
	s, _ := f.open("unix://" + f.server.Socket)
	a, err := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
	if err != nil {
		t.Fatal(err)
	}
	f.outcomes(a, store.Created)
}

func TestAFailedTLSHandshakeChangedNothing(t *testing.T) {
	f := newFixture(t)
	s, _ := f.open("rediss://" + f.server.Addr)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := s.Apply(ctx, store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFateUnknown) {
		t.Fatalf("got %v", err)
	}
}

func TestAServerThatOnlyListensIsGivenUpInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	f := newFixture(t)
	s, _ := f.open("redis://" + silent.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Apply(ctx, store.Batch{Limits: f.limits}); err == nil {
		t.Fatal("no error")
	}
}
