package redistest

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestServer(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	ctx := t.Context()

	t.Run("answers and keeps nothing on disk", func(t *testing.T) {
		s := Start(t)
		c := s.Client()
		if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		// The client's pooled connection went with the old process.
		if _, err := s.Client().Get(ctx, "k").Result(); !errors.Is(err, redis.Nil) {
			t.Fatalf("after a restart: %v, want no such key", err)
		}
	})

	t.Run("takes arguments that replace the defaults", func(t *testing.T) {
		s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
		if err := s.Client().Set(ctx, "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		addr := s.Addr
		s.Kill()
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Fatal("it answers after Kill")
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		if s.Addr != addr {
			t.Errorf("it moved from %s to %s", addr, s.Addr)
		}
		if v, err := s.Client().Get(ctx, "k").Result(); v != "v" {
			t.Errorf("after a restart: %q, %v", v, err)
		}
	})

	t.Run("starts with a password", func(t *testing.T) {
		s := Start(t, "--requirepass", "secret")
		if err := s.Client().Ping(ctx).Err(); err == nil {
			t.Error("it answers without one")
		}
	})

	t.Run("says nothing while it is paused", func(t *testing.T) {
		s := Start(t)
		c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ContextTimeoutEnabled: true})
		defer c.Close()
		s.Pause()
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := c.Ping(short).Err(); err == nil {
			t.Error("it answers while paused")
		}
		s.Resume()
		if err := c.Ping(ctx).Err(); err != nil {
			t.Error(err)
		}
		s.Pause() // Stop must end a paused server too
	})
}

func TestAStartThatFailsShowsWhatRedisPrinted(t *testing.T) {
	_, err := Run(t.TempDir(), "--no-such-option", "1")
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Fatalf("got %v", err)
	}
}

func TestATakenPortIsNoticed(t *testing.T) {
	s := Start(t)
	other := &Server{Addr: s.Addr, Socket: t.TempDir() + "/s", dir: t.TempDir()}
	if err := other.up(); !errors.Is(err, errPortTaken) {
		t.Fatalf("got %v", err)
	}
}

func TestAMissingRedisIsAnErrorThatSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Fatalf("got %v", err)
	}
}
