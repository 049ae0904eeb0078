package redisstore

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestTheRedactedURLHasTheSameMeaning(t *testing.T) {
	for url, want := range map[string]string{
		"redis://host": "redis://host:6379/0",
		"REDIS://user:s3cret@host:7000/3?protocol=2":                   "redis://user:xxxxx@host:7000/3?protocol=2",
		"redis://:s3cret%23%2F%40@[::1]":                               "redis://:xxxxx@[::1]:6379/0",
		"rediss://host/?db=2&skip_verify=true":                         "rediss://host:6379/2?skip_verify=true",
		"redis+sentinel://user:s3cret@b,a/m/2?sentinel_password=other": "redis+sentinel://user:xxxxx@b:26379,a:26379/m/2?sentinel_password=xxxxx",
		"rediss+cluster://n1,n2:7000":                                  "rediss+cluster://n1:6379,n2:7000",
		"unix://user:s3cret@/run/redis.sock?db=4":                      "unix://user:xxxxx@/run/redis.sock?db=4",
		"unix:///run/redis.sock?client_name=a.test":                    "unix:///run/redis.sock?client_name=a.test&db=0",
	} {
		target, err := Parse(url)
		if err != nil || target.Redacted() != want {
			t.Errorf("%s: %v, %v; want %s", url, target, err, want)
			continue
		}
		again, err := Parse(strings.Replace(target.Redacted(), "xxxxx", "s3cret%23%2F%40", 1))
		if err != nil || again.Identity() != target.Identity() {
			t.Errorf("%s became %v (%v)", url, again, err)
		}
	}
}

func TestOtherCredentialsAreThoseOfTheConnection(t *testing.T) {
	target, err := Parse("redis://host/1?protocol=2")
	if err != nil || target.HasCredentials() {
		t.Fatal(target, err)
	}
	with := target.WithCredentials("user", "p#ss/w@rd")
	o := with.clientOptions(t.Context(), "host:6379")
	if o.Username != "user" || o.Password != "p#ss/w@rd" || o.Protocol != 2 || !with.HasCredentials() || with.Identity() != target.Identity() {
		t.Errorf("%+v", o)
	}
	if target.HasCredentials() {
		t.Error("the first target was changed")
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
	// A plain port never answers a TLS handshake.
	_, err := s.Apply(f.within(time.Second), store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}})
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
	if _, err := s.Apply(f.within(300*time.Millisecond), store.Batch{Limits: f.limits}); err == nil {
		t.Fatal("no error")
	}
}
