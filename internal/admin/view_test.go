package admin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func TestSettingsAreShownWithoutSecrets(t *testing.T) {
	got, err := json.Marshal(settingsView{
		{Name: "store", Value: "redis://only-in-the-store", OfConnection: true},
		{Name: "max_keys", Value: 10000},
		{Name: "redis_password", Value: "only-the-password", OfConnection: true},
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

// Other programs read these names, and expect them side by side.
func TestFiguresAreFlat(t *testing.T) {
	got, err := json.Marshal(viewFigures(&running.Stats{
		Requests:        map[string]map[string]uint64{"get": {"local": 1}},
		Durations:       map[string]engine.Histogram{"get": {Bounds: []float64{.5}, Counts: []uint64{1, 0}, Sum: .25}},
		NoCacheRequests: 2,
		BulkRequests:    21,
		Bodies:          running.BodyStats{Bytes: 3, MaxBytes: 4, Waiting: 5},
		Engine: engine.Stats{
			QueueJobs: 6, MaxQueueJobs: 7, QueueBytes: 8, MaxQueueBytes: 9, Joined: 10, Evicted: 11, EvictedUnread: 12, Expired: 22,
			LastEvictions: []engine.Eviction{{Key: "k"}}, DeletedByPrefix: 21, Watchers: 22, WatchEvents: 23, WatchersDropped: 24, LostRaises: 13,
			Local:  engine.LocalStats{Entries: 14, Bytes: 15, MaxBytes: 16, Evictions: 17},
			Shared: true, Subscribed: true, Events: 18, SubscriptionsLost: 19, EventGaps: 20,
		},
	}))
	const none = `{"bounds":null,"counts":null,"sum":0}`
	const calls = `{"calls":0,"errors":null,"duration":` + none + `,"size":` + none + `}`
	const want = `{"since":"0001-01-01T00:00:00Z","requests":{"get":{"local":1}},` +
		`"durations":{"get":{"bounds":[0.5],"counts":[1,0],"sum":0.25}},"no_cache_requests":2,"bulk_requests":21,` +
		`"body_bytes":3,"max_body_bytes":4,"bodies_waiting":5,` +
		`"queue_jobs":6,"max_queue_jobs":7,"queue_bytes":8,"max_queue_bytes":9,"queue_wait":` + none + `,` +
		`"fetches":` + calls + `,"applies":` + calls + `,"joined":10,"evicted":11,"evicted_unread":12,"expired":22,` +
		`"last_evictions":[{"key":"k","at":"0001-01-01T00:00:00Z"}],"deleted_by_prefix":21,"watchers":22,"watch_events":23,"watchers_dropped":24,"lost_raises":13,` +
		`"local":{"entries":14,"bytes":15,"max_bytes":16,"evictions":17},` +
		`"shared":true,"subscribed":true,"events":18,"subscriptions_lost":19,"event_gaps":20}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s,\nwant %s (%v)", got, want, err)
	}
}

// Another program may write an invalid content type to the store.
func TestAnInvalidContentTypeIsNotShown(t *testing.T) {
	for _, contentType := range []string{"", "text/html\r\nSet-Cookie: a=b", "text/html, text/plain\x00"} {
		entry := &store.Entry{Value: store.Value{Kind: store.Raw, ContentType: contentType}, Version: store.Version{Number: 7}}
		if shown := viewListed(&store.Listed{Key: "k", Entry: entry}); shown.ContentType != "application/octet-stream" || shown.ETag == "" {
			t.Errorf("%q: %+v", contentType, shown)
		}
	}
}
