package running_test

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// replace writes what one file has into another, as a program that renews certificates
// does.
func replace(t *testing.T, file, by string) {
	t.Helper()
	text, err := os.ReadFile(by)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The text of the configuration is always the same, and the files change.
func TestAReloadReadsTheFilesOfCertificatesAgain(t *testing.T) {
	ca, next := redistest.NewCA(t, "first CA", nil), redistest.NewCA(t, "second CA", nil)
	pairOfServer, pair := ca.Issue("redis", nil), ca.Issue("cache", nil)
	server := redistest.Start(t, ca.ServerArgs(pairOfServer, "yes")...)
	control := server.Client()
	disconnect := func() {
		t.Helper()
		for _, kind := range []string{"normal", "pubsub"} {
			if err := control.ClientKillByFilter(t.Context(), "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	settings := "store " + server.URL() + "\nredis_ca " + ca.File + "\nredis_cert " + pair.Cert + " " + pair.Key
	provision := func() (*redisproxy.Handler, error) {
		h := sitetest.Parse(t, settings)
		return h, h.Provision(sitetest.Context(t))
	}
	current, err := provision()
	if err != nil {
		t.Fatal(err)
	}
	before := sitetest.CacheOf(t, current)
	wantWrite := func(h *redisproxy.Handler, key string) {
		t.Helper()
		if got := sitetest.Serve(t, h).Send("POST /cache/" + key + "\n\nv"); !strings.HasPrefix(got, "201 ") {
			t.Errorf("%s: %s", key, got)
		}
	}
	wantWrite(current, "before")

	// Server and client get certificates of another CA. Open connections stay.
	replace(t, ca.File, next.File)
	next.IssueTo(pairOfServer, "redis", nil)
	next.IssueTo(pair, "cache", nil)
	if err := control.ConfigSet(t.Context(), "tls-cert-file", pairOfServer.Cert).Err(); err != nil {
		t.Fatal(err)
	}
	wantWrite(current, "old")

	reloaded, err := provision()
	if err != nil {
		t.Fatal(err)
	}
	if sitetest.CacheOf(t, reloaded) != before {
		t.Error("new certificates made a new engine")
	}
	if err := current.Cleanup(); err != nil {
		t.Fatal(err)
	}
	disconnect()
	wantWrite(reloaded, "new")

	// A configuration with a broken file is refused, and the one in force goes on.
	replace(t, pair.Cert, pair.Key)
	broken, err := provision()
	if err == nil || !strings.Contains(err.Error(), "redis_cert: "+pair.Cert+" has no certificate") {
		t.Error(err)
	}
	if err := broken.Cleanup(); err != nil {
		t.Error(err)
	}
	disconnect()
	wantWrite(reloaded, "broken")
	if err := reloaded.Cleanup(); err != nil {
		t.Fatal(err)
	}
}

func TestHandlersOfOneCacheAgreeInTheirCertificates(t *testing.T) {
	ca := redistest.NewCA(t, "our CA", nil)
	one, two := ca.Issue("one", nil), ca.Issue("two", nil)
	common := "store rediss://127.0.0.1:1\nredis_timeout 100ms\nnamespace certificates\n"
	settings := "redis_ca " + ca.File + "\nredis_cert " + one.Cert + " " + one.Key + "\n"
	ctx := sitetest.Context(t)
	sitetest.Provision(t, ctx, sitetest.Parse(t, common+settings))
	for other, want := range map[string]string{
		"redis_ca " + ca.File: "redis_cert differs",
		strings.Replace(settings, ca.File, ca.File+" "+one.Cert, 1):        "redis_ca differs",
		settings + "redis_server_name redis":                               "redis_server_name differs",
		"redis_ca " + ca.File + "\nredis_cert " + two.Cert + " " + two.Key: "redis_cert differs",
	} {
		if err := sitetest.Parse(t, common+other).Provision(ctx); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", other, err, want)
		}
	}
	// A file may be renewed while the handlers of a configuration are provisioned.
	ca.IssueTo(one, "one", nil)
	sitetest.Provision(t, ctx, sitetest.Parse(t, common+settings))
}

func TestAnExpiredCertificateIsLoggedOnceAConfiguration(t *testing.T) {
	old := redistest.NewCA(t, "old CA", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	secure := new(redisstore.TLS)
	if err := secure.ReadCA([]string{old.File}); err != nil {
		t.Fatal(err)
	}
	target, err := redisstore.Parse("rediss://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	shared := running.SharedSettings{Target: target.WithTLS(secure), Namespace: "cache", Partitions: 1, Settings: smallSettings(time.Second)}
	for configuration := range 2 {
		core, logs := observer.New(zapcore.WarnLevel)
		for range 2 {
			c, err := running.Acquire(t.Context(), running.Registration{Configuration: configuration, Shared: shared, Logger: zap.New(core)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Release(configuration) })
		}
		lines := logs.FilterMessageSnippet("redis_ca is not valid now").All()
		if len(lines) != 1 {
			t.Fatal(logs.All())
		}
		fields := lines[0].ContextMap()
		if fields["file"] != old.File || fields["subject"] != "CN=old CA" || fields["namespace"] != "cache" || fields["store"] != "127.0.0.1:1/0" {
			t.Errorf("%v", fields)
		}
	}
}
