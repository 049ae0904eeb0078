package httpapi

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestKeysThatNoRequestLineHoldsAreWarnedOf(t *testing.T) {
	const unknown = "is not known here"
	for _, c := range []struct {
		name   string
		config Config
		limit  int // 0: the server is not known
		want   []string
	}{
		{"the default", Config{MaxKeySize: 512, PathPrefix: "/cache"}, 16 << 10, nil},
		{"the default, and a server that is not known", Config{MaxKeySize: 512, PathPrefix: "/cache"}, 0, nil},
		{"the largest that fits", Config{MaxKeySize: 5118, PathPrefix: "/cache"}, 16 << 10, nil},
		{"one more", Config{MaxKeySize: 5119, PathPrefix: "/cache"}, 16 << 10, []string{"percent-encoded keys of that size do not fit"}},
		{"the same where the server is not known", Config{MaxKeySize: 5119, PathPrefix: "/cache"}, 0, []string{"percent-encoded keys of that size do not fit", unknown}},
		{"a longer path", Config{MaxKeySize: 5118, PathPrefix: "/longer"}, 16 << 10, []string{"percent-encoded keys"}},
		{"a prefix that is not in the path", Config{MaxKeySize: 5119, PathPrefix: "/cache", KeyPrefix: "{a}/"}, 16 << 10, nil},
		{"the largest of all", Config{MaxKeySize: 64 << 10, PathPrefix: "/cache"}, 16 << 10, []string{": keys of that size do not fit"}},
		{"with a server that takes them", Config{MaxKeySize: 64 << 10, PathPrefix: "/cache"}, 256 << 10, nil},
		{"with a server that takes less than the default", Config{MaxKeySize: 2 << 10, PathPrefix: "/cache"}, 4 << 10, []string{"percent-encoded keys"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, logs := observer.New(zapcore.WarnLevel)
			c.config.Logger = zap.New(core)
			ctx := t.Context()
			if c.limit > 0 {
				ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, &caddyhttp.Server{MaxHeaderBytes: c.limit})
			}
			New(c.config).WarnOfLongKeys(ctx)
			var got string
			for _, e := range logs.All() {
				got += e.Message
			}
			if (got == "") != (c.want == nil) || strings.Contains(got, unknown) && c.limit > 0 {
				t.Errorf("got %q", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %s", got, want)
				}
			}
		})
	}
}
