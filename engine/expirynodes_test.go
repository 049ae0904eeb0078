package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// advanceStore moves the clock of a namespace on, in one step, as if another server had been
// ahead. While nothing expires, a namespace keeps no time, and needs none.
var advanceStore = redis.NewScript(`
local field = redis.call('HGET', KEYS[1], 'expiring')
if not field then return 0 end
local latest, n = struct.unpack('>I6I6', field)
local time = redis.call('TIME')
latest = math.max(time[1] * 1000 + math.floor(time[2] / 1000), latest) + ARGV[1]
redis.call('HSET', KEYS[1], 'expiring', struct.pack('>I6I6', latest, n))
return 1`)

func advance(t *testing.T, client *redis.Client, d time.Duration) {
	t.Helper()
	if moved, err := advanceStore.Run(context.Background(), client, []string{stateKey}, d.Milliseconds()).Int(); err != nil || moved == 0 {
		t.Fatalf("moving the store's clock: %d, %v", moved, err)
	}
}

func TestNoNodeAnswersAnEntryAfterItsTime(t *testing.T) {
	server := redistest.Start(t)
	a, _ := node(t, server, patient())
	b, _ := node(t, server, patient())
	create(t, a, "stays", "v")
	lend(t, a, "k", "v", time.Second)
	// From now on, no call that begins a second later may answer it.
	created := time.Now()
	if got := value(t, b, "stays"); got != "v" {
		t.Fatal(got)
	}
	local := 0
	for _, e := range []*engine.Engine{a, b} {
		eventually(t, "it is absent", func() bool {
			begin := time.Now()
			one := get(t, e, "k")
			many := values(t, e, "k", "stays")
			if late := begin.Sub(created) - time.Second; late > 0 && (one.Entry != nil || many[0] != "absent") {
				t.Fatalf("answered %v after its time: %q, %q", late, read(one), many)
			}
			if one.Source == engine.Local {
				local++
			}
			return one.Entry == nil
		})
	}
	if local == 0 {
		t.Error("no local tier answered")
	}
	eventually(t, "it is removed", func() bool { return server.Client().HLen(t.Context(), "{cache}:values").Val() == 1 })
}

// The clocks of nodes cannot matter: a write tells Redis how long its entry is to live, the
// answer to a fetch tells how long that still is, and a node measures this on a clock that
// nobody sets. No time of day goes either way. So the test sets the only clock that counts:
// that of the store, by an hour.
func TestAllNodesLiveByTheClockOfTheStore(t *testing.T) {
	server := redistest.Start(t)
	a, _ := node(t, server, patient())
	b, _ := node(t, server, patient())
	lend(t, a, "anchor", "v", 100*time.Hour)
	lend(t, a, "old", "v", time.Hour)
	for _, e := range []*engine.Engine{a, b} {
		if value(t, e, "old") != "v" {
			t.Fatal("it is absent")
		}
	}
	advance(t, server.Client(), time.Hour)
	// Whatever asks the store knows at once. Local copies end with the event.
	if got := fresh(t, a, "old"); got != "absent" {
		t.Errorf("after an hour: %q", got)
	}
	for _, e := range []*engine.Engine{a, b} {
		eventually(t, "a node heard that it expired", func() bool { return value(t, e, "old") == "absent" })
	}
	lend(t, b, "new", "v", time.Hour)
	for _, e := range []*engine.Engine{a, b} {
		if got := get(t, e, "new"); got.Entry == nil || got.Life > time.Hour || got.Life < 50*time.Minute {
			t.Errorf("a new one lives for %v", got.Life)
		}
	}
	advance(t, server.Client(), time.Hour)
	want(t, store.Created)(b.Write(t.Context(), store.Write{Op: store.Create, Key: "new", Value: text("w")}))
	eventually(t, "a heard of it", func() bool { return value(t, a, "new") == "w" })
}

func TestAnExpiredEntryIsAbsentThoughRedisStoodStill(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	s.Timeout, s.StaleIfError = 2*time.Second, time.Hour
	a, _ := node(t, server, s)
	b, _ := node(t, server, s)
	create(t, a, "stays", "v")
	lend(t, a, "k", "v", time.Second)
	created := time.Now()
	value(t, a, "k") // b has no copy
	value(t, b, "stays")
	server.Pause()
	for _, e := range []*engine.Engine{a, b} {
		eventually(t, "its time is over", func() bool {
			begin := time.Now()
			answer, err := e.Get(t.Context(), "k", engine.Read{})
			late := begin.Sub(created) - time.Second
			if late > 0 && err == nil {
				t.Fatalf("answered %v after its time: %q", late, read(answer))
			}
			return late > 0
		})
	}
	server.Resume()
	for _, e := range []*engine.Engine{a, b} {
		eventually(t, "Redis answers", func() bool {
			answer, err := e.Get(t.Context(), "k", engine.Read{})
			if answer.Entry != nil {
				t.Fatal("it is answered")
			}
			return err == nil
		})
	}
}

func TestAnEntryThatExpiredStaysAbsentAfterAFailover(t *testing.T) {
	t.Parallel()
	g := redistest.StartGuarded(t)
	s := patient()
	a, _ := nodeAt(t, g.URL(), s)
	b, _ := nodeAt(t, g.URL(), s)
	lend(t, a, "anchor", "v", 100*time.Hour)
	lend(t, a, "k", "v", time.Hour)
	lend(t, a, "later", "v", 2*time.Hour)
	if value(t, b, "k") != "v" {
		t.Fatal("it is absent")
	}
	// By its own clock, the next primary would answer k for an hour.
	old := g.Primary()
	advance(t, old.Client(), time.Hour)
	if n, err := old.Client().Wait(t.Context(), 2, patience).Result(); err != nil || n < 1 {
		t.Fatalf("%d replicas, %v", n, err)
	}
	g.AwaitReplicas()
	g.Failover()
	for _, e := range []*engine.Engine{a, b} {
		eventually(t, "the new primary answers", func() bool {
			answer, err := e.Get(t.Context(), "k", engine.Read{NoCache: true})
			if answer.Entry != nil {
				t.Fatal("it is answered")
			}
			return err == nil
		})
		eventually(t, "no local copy is left", func() bool { return value(t, e, "k") == "absent" })
		if got := get(t, e, "later"); got.Entry == nil || got.Life > time.Hour || got.Life < 50*time.Minute {
			t.Errorf("the other one lives for %v", got.Life)
		}
	}
	want(t, store.Created)(a.Write(t.Context(), store.Write{Op: store.Create, Key: "k", Value: text("w")}))
}
