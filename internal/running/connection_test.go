package running_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// startWithUsers starts a Redis that needs a login as one of these users. In a URL their
// passwords would need escapes.
func startWithUsers(t testing.TB, users ...string) *redistest.Server {
	t.Helper()
	server := redistest.Start(t)
	for _, user := range users {
		if err := server.Client().Do(t.Context(), "ACL", "SETUSER", user, "on", ">"+password(user), "~*", "&*", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

func password(user string) string { return user + "#1/é@{s3cret}?%" }

func TestCredentialsBesideTheURL(t *testing.T) {
	server := startWithUsers(t, "one", "two")
	t.Setenv("PASSWORD_ONE", password("one"))
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password("two")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := "store " + server.URL() + "\n"
	old := sitetest.Parse(t, settings+"redis_username one\nredis_password {env.PASSWORD_ONE}")
	if err := old.Provision(sitetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	if got := sitetest.Serve(t, old).Send("POST /cache/k\n\nv"); !strings.HasPrefix(got, "201 ") {
		t.Error(got)
	}
	before := sitetest.CacheOf(t, old)
	next := sitetest.Parse(t, settings+"redis_username two\nredis_password {file."+file+"}")
	sitetest.Provision(t, sitetest.Context(t), next)
	if sitetest.CacheOf(t, next) != before {
		t.Error("new credentials made a new engine")
	}
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	// This ends the connections of the user.
	if err := server.Client().Do(t.Context(), "ACL", "DELUSER", "one").Err(); err != nil {
		t.Fatal(err)
	}
	if got := sitetest.Serve(t, next).Send("POST /cache/l\n\nv"); !strings.HasPrefix(got, "201 ") {
		t.Error(got)
	}
	s := sitetest.CacheOf(t, next).SharedSettings()
	if got, want := s.RedactedStore(), "redis://two:xxxxx@"+server.Addr+"/0"; got != want {
		t.Errorf("the admin API shows %s, want %s", got, want)
	}
	if got := s.StoreName(); got != server.Addr+"/0" {
		t.Errorf("metrics and the log show %s", got)
	}
}

func TestHandlersOfOneCacheAgreeInTheirCredentials(t *testing.T) {
	ctx := sitetest.Context(t)
	sitetest.Provision(t, ctx, sitetest.Parse(t, "store redis://127.0.0.1:1\nredis_password one\nredis_timeout 100ms\nnamespace agree"))
	for setting, want := range map[string]string{
		"redis_password two":                       "redis_password differs",
		"redis_password one\nredis_username other": "redis_username differs",
		"": "redis_password differs",
	} {
		h := sitetest.Parse(t, "store redis://127.0.0.1:1\nredis_timeout 100ms\nnamespace agree\n"+setting)
		if err := h.Provision(ctx); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "two") {
			t.Errorf("%q: %v, want %s", setting, err, want)
		}
	}
}
