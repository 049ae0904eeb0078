package admin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestSettingsAreShownWithoutSecrets(t *testing.T) {
	got, err := json.Marshal(settingsView{
		{Name: "store", Value: "redis://only-in-the-store", IsSecret: true},
		{Name: "max_keys", Value: 10000},
		{Name: "redis_password", Value: "only-the-password", IsSecret: true},
		{Name: "local_ttl", Value: 90 * time.Second},
		{Name: "eviction", Value: "rank"},
		{Name: "stale_if_error", Value: time.Duration(0)},
		{Name: "rank_local_hits", Value: false},
	})
	const want = `{"max_keys":10000,"local_ttl":"1m30s","eviction":"rank","stale_if_error":"0s","rank_local_hits":false}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, want %s (%v)", got, want, err)
	}
}

// Somebody else may write to the store what is no content type.
func TestAContentTypeThatIsNoneIsNotShown(t *testing.T) {
	for _, contentType := range []string{"", "text/html\r\nSet-Cookie: a=b", "text/html, text/plain\x00"} {
		entry := &store.Entry{Value: store.Value{Kind: store.Raw, ContentType: contentType}, Version: store.Version{Number: 7}}
		if shown := viewListed(&store.Listed{Key: "k", Entry: entry}); shown.ContentType != "application/octet-stream" || shown.ETag == "" {
			t.Errorf("%q: %+v", contentType, shown)
		}
	}
}
