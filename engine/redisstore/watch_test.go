package redisstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestEventsThatAreNotUnderstoodAreOneLineWithoutKeys checks that keys in the events of a
// newer version stay out of the log.
func TestEventsThatAreNotUnderstoodAreOneLineWithoutKeys(t *testing.T) {
	for _, payload := range []string{
		`{"version":3,"number":7,"epoch":"e","changes":[["created","s3cret-key","s3cret-number"]]}`,
		`{"version":3,"number":7,"epoch":"e","changes":[["created","s3cret-key",1,"more"],{"s3cret-key":1}]}`,
		`{"version":3,"number":"s3cret-key"}`,
		`{"version":4,"number":7,"changes":["s3cret-key"]}`,
		`{"version":4,"number":7,"keys":["s3cret-key"]}`,
		`s3cret-key`,
	} {
		f := newFixture(t)
		o := f.watching(f.store)
		for range 3 {
			f.do("PUBLISH", f.store.keys.events(), payload)
			<-o.subscribed // its local entries are dropped
		}
		if f.logs.Len() != 1 {
			t.Fatalf("%s: %v", payload, f.logs.All())
		}
		if line := fmt.Sprint(f.logs.All()[0]); strings.Contains(line, "s3cret") || !strings.Contains(line, "decoding an event") {
			t.Errorf("%s: %s", payload, line)
		}
	}
}

func TestAnEventOfAnUnknownVersionIsNamed(t *testing.T) {
	if _, err := decodeEvent(`{"version":4}`); err == nil || !strings.Contains(err.Error(), "version 4, where 3 is known; run one version") {
		t.Error(err)
	}
	if got, err := decodeEvent(`{"version":3,"number":7,"epoch":"e","changes":[["created","k",7]]}`); err != nil || got.Changes[0] != (store.Change{What: "created", Key: "k", Number: 7}) {
		t.Errorf("%+v, %v", got, err)
	}
}
