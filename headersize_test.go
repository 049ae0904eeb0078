package redisproxy

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
		name, settings string
		limit          int // 0: the server is not known
		want           []string
	}{
		{"the default", "", 16 << 10, nil},
		{"the default, and a server that is not known", "", 0, nil},
		{"the largest that fits", "max_key_size 5118", 16 << 10, nil},
		{"one more", "max_key_size 5119", 16 << 10, []string{"percent-encoded keys of that size do not fit"}},
		{"the same where the server is not known", "max_key_size 5119", 0, []string{"percent-encoded keys of that size do not fit", unknown}},
		{"a longer path", "max_key_size 5118\npath_prefix /longer", 16 << 10, []string{"percent-encoded keys"}},
		{"a prefix that is not in the path", "max_key_size 5119\nkey_prefix {a}/", 16 << 10, nil},
		{"the largest of all", "max_key_size 64KiB", 16 << 10, []string{": keys of that size do not fit"}},
		{"with a server that takes them", "max_key_size 64KiB", 256 << 10, nil},
		{"with a server that takes less than the default", "max_key_size 2KiB", 4 << 10, []string{"percent-encoded keys"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHandler(t, c.settings)
			core, logs := observer.New(zapcore.WarnLevel)
			h.logger = zap.New(core)
			ctx := t.Context()
			if c.limit > 0 {
				ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, &caddyhttp.Server{MaxHeaderBytes: c.limit})
			}
			h.warnOfLongKeys(ctx)
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
