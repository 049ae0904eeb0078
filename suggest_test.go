package redisproxy

import "testing"

func TestTheNearestName(t *testing.T) {
	known := settingNames[Handler]()
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
		"x":               "",
		"compression":     "",
		"":                "",
		"read_only_store": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
