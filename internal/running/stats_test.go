package running_test

import (
	"encoding/json"
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

// TestStatsAsJSON: other programs read this.
func TestStatsAsJSON(t *testing.T) {
	h := sitetest.Handler(t, "")
	sitetest.Serve(t, h).Send("GET /cache/k")
	b, err := json.Marshal(sitetest.CacheOf(t, h).Stats())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"since", "requests", "durations", "no_cache_requests",
		"queue_jobs", "queue_bytes", "queue_wait", "fetches", "applies", "joined", "evicted", "evicted_unread",
		"last_evictions", "lost_raises", "local", "subscribed", "events",
	} {
		if got[name] == nil {
			t.Errorf("there is no %s in %s", name, b)
		}
	}
	if string(got["requests"]) != `{"get":{"absent":1}}` {
		t.Errorf("the requests are %s", got["requests"])
	}
	var durations map[string]struct {
		Bounds []float64
		Counts []uint64
		Sum    float64
	}
	if err := json.Unmarshal(got["durations"], &durations); err != nil {
		t.Fatal(err)
	}
	d := durations["get"]
	n := uint64(0)
	for _, count := range d.Counts {
		n += count
	}
	if n != 1 || d.Sum <= 0 || len(d.Counts) != len(d.Bounds)+1 {
		t.Errorf("the durations are %s", got["durations"])
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
