package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The warning about max_header_size is right: with a lower limit Caddy answers 431, with a
// higher one the handler answers.
func TestKeysThatDoNotFitIntoMaxHeaderSize(t *testing.T) {
	s := start(t, "redis_proxy")
	load := func(maxHeaderBytes int) string {
		t.Helper()
		log := filepath.Join(t.TempDir(), fmt.Sprint(maxHeaderBytes))
		var config map[string]any
		if err := json.Unmarshal(s.config("redis_proxy {\nmax_key_size 6000\n}", ""), &config); err != nil {
			t.Fatal(err)
		}
		config["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "file", "filename": log}}}}
		servers := config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
		for _, server := range servers {
			if maxHeaderBytes > 0 {
				server.(map[string]any)["max_header_bytes"] = maxHeaderBytes
			}
		}
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(text, true); err != nil {
			t.Fatal(err)
		}
		s.settle()
		logged, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(logged)
	}
	// Use connections of the last configuration. Caddy closes older ones at their next
	// request.
	answers := func(client *http.Client, path string, status int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%.30s… is answered with %d", path, status), func() bool {
			client.CloseIdleConnections()
			a, err := try(t.Context(), client, request{"GET", "https://" + s.https + path, "", nil})
			return err == nil && a.StatusCode == status
		})
	}
	const warning = "max_key_size: percent-encoded keys of that size do not fit"
	plain := "/cache/" + strings.Repeat("k", 6000)
	escaped := "/cache/" + strings.Repeat("%C3%A9", 3000)

	if logged := load(0); !strings.Contains(logged, warning) || strings.Contains(logged, "is not known here") || !strings.Contains(logged, `"max_header_size":16384`) {
		t.Errorf("the log has no warning, or not of this server:\n%s", logged)
	}
	answers(s.http2, plain, http.StatusNotFound)
	answers(s.http1, plain, http.StatusNotFound)
	// Not over HTTP/2: its client knows the limit, and may not even send the request.
	answers(s.http1, "/cache/"+strings.Repeat("%C3%A9", 4000), http.StatusRequestHeaderFieldsTooLarge)

	if logged := load(32 << 10); strings.Contains(logged, "max_key_size:") {
		t.Errorf("the log has a warning:\n%s", logged)
	}
	answers(s.http1, escaped, http.StatusNotFound)
	answers(s.http2, escaped, http.StatusNotFound)
}

// docs/http-api.md says how many keys fit into a batch read.
func TestHowManyLongKeysABatchReadHasRoomFor(t *testing.T) {
	s := start(t, "redis_proxy")
	for _, c := range []struct {
		key  string
		most int
	}{
		{strings.Repeat("k", 512), 30},
		{strings.Repeat("%C3%A9", 256), 10},
		{strings.Repeat("k", 100), 100},
	} {
		// Each key differs, since a batch asks for each key once.
		var query string
		for i := range c.most {
			query += "&key=" + string(rune('A'+i%26)) + string(rune('a'+i/26)) + c.key[:len(c.key)-6]
		}
		for _, client := range []*http.Client{s.http1, s.http2} {
			get(t, client, "https://"+s.https+"/cache?"+query[1:]).expectStatus(t, http.StatusOK)
		}
	}
}
