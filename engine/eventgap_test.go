package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestAnEventThatNeverCameIsNoticedByTheNextOne(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "old")
		value(t, e, "k")
		change(t, st, o, store.Write{Op: store.Put, Key: "x", Value: text("1")})()
		if a := get(t, e, "k"); a.Source != engine.Local {
			t.Fatalf("before the gap: %+v", a)
		}
		change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")}) // its event is lost
		change(t, st, o, store.Write{Op: store.Put, Key: "x", Value: text("2")})()
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("after the gap: %q", got)
		}
		if gaps := e.Stats().EventGaps; gaps != 1 {
			t.Errorf("%d gaps counted", gaps)
		}
	})
}

// The subscription works and answers all pings, but one write has no event.
func TestAMissingEventIsNoticedByTheNextAnswer(t *testing.T) {
	for name, rights := range map[string][]any{
		// Redis publishes no event for a write of a user without rights to the channel.
		"the event was refused": {"resetchannels", "+@all"},
		// The last command of the script is refused, and with it the event.
		"the script failed half-way": {"allchannels", "+@all", "-set"},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			acl := append([]any{"ACL", "SETUSER", "other", "on", ">pw", "~*"}, rights...)
			if err := server.Client().Do(context.Background(), acl...).Err(); err != nil {
				t.Fatal(err)
			}
			s := patient()
			s.LocalTTL, s.UnsubscribedTTL = time.Hour, time.Hour
			a, _ := node(t, server, s)
			b, _ := nodeAt(t, "redis://other:pw@"+server.Addr+"/0", s)
			value(t, a, "k") // waits for the subscription
			create(t, a, "k", "old")
			eventually(t, "node a keeps the old value", func() bool {
				return get(t, a, "k").Source == engine.Local && a.Stats().Events == 1
			})
			if _, err := b.Write(context.Background(), store.Write{Op: store.Put, Key: "k", Value: text("new")}); err != nil && !errors.Is(err, engine.ErrMayBeApplied) {
				t.Fatal(err)
			}
			if got := value(t, a, "k"); got != "old" {
				t.Fatalf("node a heard of the write: %q", got)
			}
			value(t, a, "other")
			eventually(t, "node a serves the new value", func() bool { return value(t, a, "k") == "new" })
		})
	}
}
