package httpapi

import (
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

func TestHitStatusRoundsUp(t *testing.T) {
	for ttl, want := range map[time.Duration]string{
		30 * time.Second:        "redis_proxy; hit; ttl=30",
		26*time.Second + 1:      "redis_proxy; hit; ttl=27",
		time.Nanosecond:         "redis_proxy; hit; ttl=1",
		0:                       "redis_proxy; hit; ttl=0",
		-5 * time.Second:        "redis_proxy; hit; ttl=0",
		600 * time.Second:       "redis_proxy; hit; ttl=600",
		600*time.Second + 1:     "redis_proxy; hit; ttl=601",
		24 * 365 * time.Hour:    "redis_proxy; hit; ttl=31536000",
		1500 * time.Millisecond: "redis_proxy; hit; ttl=2",
	} {
		if got := cacheStatus(engine.Answer{Entry: &engine.Entry{}, Source: engine.Local, TTL: ttl}, engine.Read{}); got != want {
			t.Errorf("%v: got %s, want %s", ttl, got, want)
		}
	}
}

func TestForwardStatus(t *testing.T) {
	entry := &engine.Entry{}
	for _, c := range []struct {
		answer engine.Answer
		read   engine.Read
		want   string
	}{
		{engine.Answer{Entry: entry}, engine.Read{}, "redis_proxy; fwd=uri-miss"},
		{engine.Answer{Entry: entry, Stored: true}, engine.Read{}, "redis_proxy; fwd=uri-miss; stored"},
		{engine.Answer{}, engine.Read{}, "redis_proxy; fwd=uri-miss; detail=absent"},
		{engine.Answer{Entry: entry, Stored: true, WasStale: true}, engine.Read{}, "redis_proxy; fwd=stale; stored"},
		{engine.Answer{WasStale: true}, engine.Read{}, "redis_proxy; fwd=stale; detail=absent"},
		{engine.Answer{Entry: entry, Source: engine.Local, TTL: -12 * time.Second, StaleIfError: true}, engine.Read{}, "redis_proxy; hit; ttl=-12; detail=stale-if-error"},
		{engine.Answer{Entry: entry, Stored: true, WasStale: true}, engine.Read{NoCache: true}, "redis_proxy; fwd=request; stored"},
	} {
		if got := cacheStatus(c.answer, c.read); got != c.want {
			t.Errorf("%+v %+v: got %s, want %s", c.answer, c.read, got, c.want)
		}
	}
}

func TestRequestCacheControl(t *testing.T) {
	s := &Server{config: Config{HonorNoCache: true}}
	for _, c := range []struct {
		lines []string
		want  engine.Read
	}{
		{nil, engine.Read{}},
		{[]string{""}, engine.Read{}},
		{[]string{"no-cache"}, engine.Read{NoCache: true}},
		{[]string{" ,, NO-CACHE\t"}, engine.Read{NoCache: true}},
		{[]string{"max-age=0", "only-if-cached, no-cache"}, engine.Read{NoCache: true, LocalOnly: true}},
		{[]string{"no-cachet, xno-cache, no cache"}, engine.Read{}},
		{[]string{`ext="a, no-cache, \", only-if-cached"`}, engine.Read{}},
		{[]string{`ext="a", no-cache`}, engine.Read{NoCache: true}},
		{[]string{`ext="a, no-cache`}, engine.Read{}},
	} {
		if got := s.readOptions(c.lines); got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.lines, got, c.want)
		}
	}
}
