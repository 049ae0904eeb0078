package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type object = map[string]any

// hostile is a key that does harm if the page parses it as HTML.
const hostile = `<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>`

// stage serves the real page with answers that a test chooses. Some of them no real system
// gives on demand.
type stage struct {
	url string

	mu      sync.Mutex
	caches  []object
	build   object
	keys    map[string][]object // by order
	entries map[string]string   // the answer to a look-up of a key, as it is
	asked   []string            // the queries of look-ups
	broken  bool                // closes every connection
	began   time.Time
}

// setUp serves the page with one cache. All its numbers are known.
func setUp(t testing.TB) *stage {
	t.Helper()
	real, err := url.Parse(serve(t, "redis_proxy_dashboard").url)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{began: time.Now(), keys: make(map[string][]object), entries: make(map[string]string)}
	s.caches = []object{s.cache("cache.11111111", "cache")}
	s.build = object{"version": "1.2.3", "commit": "1a2b3c4d5e6f", "layout": 4, "events": 5, "export_format": 6, "caddy": "v2.0.0", "go": "go1.26"}
	for i := range 12 {
		key := fmt.Sprintf("product/%d/price", i)
		switch i {
		case 2:
			key = hostile
		case 3:
			key = "long/" + strings.Repeat("x", 500)
		}
		s.keys["next"] = append(s.keys["next"], object{"key": key, "rank": i / 4, "age": 900 - i, "bytes": 120 + 1024*i, "type": "json"})
	}
	s.keys["valued"] = slices.Clone(s.keys["next"])
	slices.Reverse(s.keys["valued"])

	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(real) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broken {
			panic(http.ErrAbortHandler)
		}
		if !strings.HasPrefix(r.URL.Path, "/caches") {
			proxy.ServeHTTP(w, r)
			return
		}
		s.answer(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/"
	return s
}

func (s *stage) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if len(path) == 1 {
		_ = json.NewEncoder(w).Encode(object{"caches": s.caches, "build": s.build})
		return
	}
	i := slices.IndexFunc(s.caches, func(c object) bool { return c["id"] == path[1] })
	switch {
	case i < 0:
	case len(path) == 2:
		_ = json.NewEncoder(w).Encode(s.caches[i])
		return
	case len(path) == 3:
		var limit int
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		all, cursor := s.keys[r.URL.Query().Get("order")], ""
		if len(all) > limit {
			all, cursor = all[:limit], "more"
		}
		_ = json.NewEncoder(w).Encode(object{"keys": all, "cursor": cursor})
		return
	default:
		s.asked = append(s.asked, r.URL.RawQuery)
		key, _ := url.PathUnescape(path[3])
		if answer := s.entries[key]; answer != "" {
			if strings.HasPrefix(answer, "503 ") {
				w.WriteHeader(http.StatusServiceUnavailable)
				answer = answer[4:]
			}
			_, _ = fmt.Fprint(w, answer)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(object{"error": "there is nothing here"})
}

// change changes the answers that the page gets from its next request on.
func (s *stage) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// cache returns a cache with a history of ten minutes: 100 GETs in each 5 seconds, with 70
// local hits, 20 hits in the store and 10 misses, and one minute without GETs.
func (s *stage) cache(id, namespace string) object {
	var samples []object
	for i := range 120 {
		sample := object{
			"at": s.began.Add(time.Duration(i-120) * 5 * time.Second), "local": 70, "store": 20, "absent": 10, "stale": 0,
			"writes": 25, "errors": 0, "store_seconds": 0.02, "store_calls": 20, "evicted": 5,
		}
		if i >= 60 && i < 72 {
			for _, name := range []string{"local", "store", "absent", "store_calls", "store_seconds"} {
				sample[name] = 0
			}
		}
		samples = append(samples, sample)
	}
	durations := object{"bounds": []float64{.001, .01, .1}, "counts": []int{98, 0, 2, 0}, "sum": 0.2}
	sizes := object{"bounds": []float64{1, 4, 16}, "counts": []int{50, 50, 0, 0}, "sum": 250}
	calls := object{"calls": 100, "errors": object{}, "duration": durations, "size": sizes}
	return object{
		"id": id, "namespace": namespace, "store": "redis://app:xxxxx@redis.test:6379/0",
		"settings":     object{"max_keys": 10000, "eviction": "rank", "local_ttl": "30s", "unsubscribed_ttl": "1.5s"},
		"store_state":  object{"reachable": true, "ready": true, "writes": true, "cause": "", "error": "", "breaker": "closed", "keys": 9000, "max_keys": 10000, "expiring": 20, "bytes": 3 << 20, "max_bytes": 0, "eviction": "rank"},
		"subscription": object{"subscribed": true, "count": 2, "nodes": []object{{"name": "edge-1:71", "connected_seconds": 3700, "this": true}, {"name": "edge-2:72", "connected_seconds": 59}}},
		"figures": object{
			"since":     s.began.Add(-time.Hour),
			"requests":  object{"get": object{"local": 8000, "store": 1500, "absent": 500}, "post": object{"created": 3000}},
			"durations": object{}, "queue_jobs": 3, "max_queue_jobs": 4096, "queue_bytes": 2048, "queue_wait": durations,
			"fetches": calls, "applies": calls, "evicted": 600, "evicted_unread": 6, "expired": 5, "lost_raises": 0, "joined": 44, "events": 77, "subscribed": true,
			"local":          object{"entries": 70, "bytes": 70000, "max_bytes": 64 << 20, "evictions": 1},
			"last_evictions": []object{{"key": "left/1", "at": s.began.Add(-2 * time.Second)}, {"key": "left/2" + hostile, "at": s.began.Add(-time.Second)}},
		},
		"history": object{"interval_seconds": 5, "samples": samples},
	}
}
