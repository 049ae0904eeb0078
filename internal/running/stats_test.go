package running_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestTotalsOfRequests(t *testing.T) {
	h := sitetest.Handler(t, "methods GET POST PUT DELETE\nmax_keys 1")
	s := sitetest.Serve(t, h)
	for _, request := range []string{
		"GET /cache/a", "POST /cache/a\n\nv", "POST /cache/a\n\nv", "GET /cache/a", "GET /cache/a", "GET /cache?key=a",
		"POST /cache/b\n\nv", "PUT /cache/b\n\nv", "DELETE /cache/b", "DELETE /cache/b", "GET /cache/",
	} {
		s.Send(request)
	}
	got := sitetest.CacheOf(t, h).Totals()
	if got.StoreCalls == 0 || got.StoreSeconds <= 0 {
		t.Errorf("calls to the store: %+v", got)
	}
	got.At, got.StoreCalls, got.StoreSeconds = time.Time{}, 0, 0
	if want := (running.Sample{Local: 2, Store: 1, Absent: 1, Writes: 4, Evicted: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStatsLeaveOutWhatNeverHappened(t *testing.T) {
	h := sitetest.Handler(t, "")
	sitetest.Serve(t, h).Send("GET /cache/k")
	got := sitetest.CacheOf(t, h).Stats()
	if want := map[string]map[string]uint64{"get": {"absent": 1}}; !reflect.DeepEqual(got.Requests, want) {
		t.Errorf("the requests are %v, want %v", got.Requests, want)
	}
	d := got.Durations["get"]
	n := uint64(0)
	for _, count := range d.Counts {
		n += count
	}
	if n != 1 || d.Sum <= 0 || len(d.Counts) != len(d.Bounds)+1 || len(got.Durations) != 1 {
		t.Errorf("the durations are %+v", got.Durations)
	}
}

func TestCacheIDsTellIdentitiesApart(t *testing.T) {
	ids := make(map[string]bool)
	for _, settings := range []string{
		"namespace a", "namespace b",
		"namespace a\nstore redis://u:secret@127.0.0.1:1", "namespace a\nstore redis://127.0.0.1:1/1",
	} {
		h := sitetest.Handler(t, settings)
		id := sitetest.CacheOf(t, h).ID()
		namespace, hash, _ := strings.Cut(id, ".")
		if ids[id] || namespace != h.Namespace || len(hash) != 8 {
			t.Errorf("%s has the id %s", settings, id)
		}
		ids[id] = true
	}
	other := sitetest.Handler(t, "namespace a\nstore redis://v:other@127.0.0.1:1")
	if id := sitetest.CacheOf(t, other).ID(); !ids[id] {
		t.Errorf("other credentials made the id %s", id)
	}
}
