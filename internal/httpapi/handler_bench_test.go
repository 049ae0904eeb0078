package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// BenchmarkHitInParallel shows whether requests on several cores slow each other down.
func BenchmarkHitInParallel(b *testing.B) {
	h := sitetest.Handler(b, "")
	value := store.Value{Data: []byte("value"), Kind: store.String}
	if _, err := sitetest.CacheOf(b, h).Engine.Write(context.Background(), store.Write{Op: store.Create, Key: "k", Value: value}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := discard{http.Header{}}
		r := httptest.NewRequest("GET", "/cache/k", nil)
		for pb.Next() {
			clear(w.header)
			if err := h.ServeHTTP(w, r, nil); err != nil {
				b.Error(err)
			}
		}
	})
}
