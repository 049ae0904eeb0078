package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// adminAnswers has the fields of the admin API's answers that the tests read.
type adminAnswers struct {
	Caches []struct {
		ID        string
		Namespace string
		Store     string
		Settings  map[string]any
		State     struct {
			Reachable, Ready, Writes bool
			Cause, Error, Breaker    string
			Keys, Bytes              *int64
			MaxKeys                  int `json:"max_keys"`
			MaxBytes                 int `json:"max_bytes"`
			Eviction                 string
		} `json:"store_state"`
		Partitions []struct {
			Partition                 int
			Ready, Writes, Subscribed bool
			Cause, Error              string
			Keys, Bytes               *int64
			MaxKeys                   int `json:"max_keys"`
		}
		Subscription struct {
			Subscribed bool
			Silent     *float64 `json:"silent_seconds"`
			Count      int
			Nodes      []struct {
				Name string
				This bool
			}
		}
		Figures map[string]any
		History map[string]any
		Ready   bool
		Writes  bool
		Cause   string
		Error   string
	}
	Build         version.Build
	Ready, Writes bool

	Keys   []adminKey
	Cursor string
	adminKey
	Deleted int
	Error   string
}

type adminKey struct {
	Key         string
	Rank        float64
	Age, Bytes  int
	Type        string
	ContentType string `json:"content_type"`
	ETag        string
	ValueBytes  int `json:"value_bytes"`
	Cut         bool
	Value       json.RawMessage
	Text        *string
	Base64      *string
	Local       *struct {
		TTL float64 `json:"ttl_seconds"`
	}
}

// ask sends a request to the admin API, and checks the status of the answer.
func (s *server) ask(status int, method, path string) (got adminAnswers) {
	s.t.Helper()
	a := do(s.t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil})
	a.expectStatus(s.t, status)
	if a.Header.Get("Cache-Control") != "no-store" {
		s.t.Errorf("%s %s may be cached: %v", method, path, a.Header)
	}
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	if status >= 400 && got.Error == "" && path != "ready" {
		s.t.Errorf("%s %s: no error in %s", method, path, a.body)
	}
	return got
}

// cache returns the path of the only cache.
func (s *server) cache() string {
	s.t.Helper()
	caches := s.ask(http.StatusOK, "GET", "caches").Caches
	if len(caches) != 1 {
		s.t.Fatalf("%d caches", len(caches))
	}
	return "caches/" + caches[0].ID
}

func TestAdminAnswersTheMethodsThatAPathHas(t *testing.T) {
	s := startAdmin(t, "redis_proxy")
	cache := s.cache()
	for path, want := range map[string]string{
		"live":               "GET, HEAD, OPTIONS",
		"ready":              "GET, HEAD, OPTIONS",
		"caches":             "GET, HEAD, OPTIONS",
		cache:                "GET, HEAD, OPTIONS",
		cache + "/keys":      "GET, HEAD, DELETE, OPTIONS",
		cache + "/keys/k":    "GET, HEAD, DELETE, OPTIONS",
		cache + "/local":     "DELETE, OPTIONS",
		cache + "/local/k":   "DELETE, OPTIONS",
		cache + "/keys/%2Fk": "GET, HEAD, DELETE, OPTIONS",
	} {
		for method, status := range map[string]int{"PATCH": http.StatusMethodNotAllowed, "OPTIONS": http.StatusNoContent} {
			a := do(t, s.plain, request{method, "http://" + s.admin + "/redis_proxy/" + path, "", nil})
			if a.StatusCode != status || a.Header.Get("Allow") != want {
				t.Errorf("%s %s: %s, Allow %s, want %s", method, path, a.Status, a.Header.Get("Allow"), want)
			}
		}
	}
	for _, path := range []string{"nothing", "caches/none", "caches/", cache + "/nothing"} {
		s.ask(http.StatusNotFound, "GET", path)
	}
	if a := do(t, s.plain, request{"HEAD", "http://" + s.admin + "/redis_proxy/caches", "", nil}); a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("%s %q", a.Status, a.body)
	}
	// Caddy refuses requests of pages of other origins.
	elsewhere := []string{"Origin", "https://evil.example"}
	if a := do(t, s.plain, request{"DELETE", "http://" + s.admin + "/redis_proxy/" + cache + "/local", "", elsewhere}); a.StatusCode != http.StatusForbidden {
		t.Error(a.Status)
	}
}
