package redisstore

import (
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestEveryCauseHasAnAdvice(t *testing.T) {
	for _, c := range store.Causes {
		if advices[c] == "" && c != store.TLS { // its advice depends on the error
			t.Errorf("%s has none", c)
		}
	}
	for _, c := range replies {
		if advices[c.cause] == "" {
			t.Errorf("%q has none", c.begins)
		}
	}
}
