package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/spantest"
)

// tracedSize asks for the size as a request that is traced, and returns each
// command with its error.type and whether it counts as an error.
func (f *fixture) tracedSize() []string {
	f.Helper()
	var r spantest.Recorder
	r.Trace(f.ctx(), "GET", func(ctx context.Context) { _, _ = f.store.Size(ctx) })
	var commands []string
	for _, s := range r.Ended() {
		name, ok := strings.CutPrefix(s.Name, "redis EVAL")
		if !ok {
			continue
		}
		line := "EVAL" + name
		for _, a := range s.Attributes {
			if a.Key == "error.type" {
				line += " " + a.Value.AsString()
			}
		}
		if s.Status == codes.Error {
			line += " is an error"
		}
		commands = append(commands, line)
	}
	return commands
}

func TestAnUnknownScriptIsNoErrorInTraces(t *testing.T) {
	f := newFixture(t)
	for _, want := range [][]string{
		{"EVALSHA NOSCRIPT", "EVAL"},
		{"EVALSHA"},
	} {
		if got := f.tracedSize(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f.do("ACL", "SETUSER", "default", "-evalsha")
	if got, want := f.tracedSize(), []string{"EVALSHA NOPERM is an error"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTracesNameTheServer(t *testing.T) {
	for url, want := range map[string]string{
		"redis://cache.example.com:6380/3": "3 cache.example.com 6380",
		"redis://user:s3cret@10.0.0.1":     "0 10.0.0.1 6379",
		"rediss://[2001:db8::1]:6379/0":    "0 2001:db8::1 6379",
		"unix:///run/redis:1/redis.sock":   "0 /run/redis:1/redis.sock",
	} {
		target, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range newTracing(target.clientOptions(context.Background(), target.options.Addr)).attributes[1:] {
			got = append(got, fmt.Sprint(a.Value.AsInterface()))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}
