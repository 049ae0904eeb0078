package suggest

import "testing"

func TestTheNearestName(t *testing.T) {
	known := []string{
		"store", "redis_username", "redis_password", "path_prefix", "namespace", "key_prefix", "methods", "max_keys",
		"max_bytes", "eviction", "rank_local_hits", "local_ttl", "local_max_bytes", "max_queue_jobs", "max_queue_bytes",
		"max_key_size", "max_value_size", "max_answer_bytes", "redis_timeout", "drain_timeout", "stale_if_error",
		"unsubscribed_ttl", "cache_control", "client_no_cache", "respond_with", "trusted_origins", "trusted_credentials", "pass_errors", "placeholders",
	}
	for name, want := range map[string]string{
		"max_key":         "max_keys",
		"max-keys":        "max_keys",
		"MaxKeys":         "max_keys",
		"max_value":       "max_value_size",
		"namepsace":       "namespace",
		"local_tll":       "local_ttl",
		"evict":           "eviction",
		"redis_pasword":   "redis_password",
		"trusted_origin":  "trusted_origins",
		"stale_on_error":  "stale_if_error",
		"stor":            "store",
		"redis":           "", // a part of several
		"x":               "",
		"compression":     "",
		"":                "",
		"read_only_store": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
