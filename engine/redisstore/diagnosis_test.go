package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// openInfo opens a store whose log has INFO too.
func (f *fixture) openInfo(url string) (*Store, *observer.ObservedLogs) {
	f.Helper()
	target, err := Parse(url)
	if err != nil {
		f.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	s := New(Config{Target: target, Namespace: "cache", Logger: zap.New(core)})
	f.Cleanup(func() { _ = s.Close() })
	return s, logs
}

func someWrites() []store.Write {
	var writes []store.Write
	for n := range 9 {
		writes = append(writes, put(strconv.Itoa(n), strings.Repeat("v", 1000)))
	}
	return writes
}

// wantOneLine fails the test unless exactly one warning has the cause and the advice.
func wantOneLine(t *testing.T, logs *observer.ObservedLogs, cause store.Cause) {
	t.Helper()
	lines := 0
	for _, line := range logs.All() {
		fields := line.ContextMap()
		if line.Level != zap.WarnLevel {
			continue
		}
		lines++
		advice, _ := fields["advice"].(string)
		if fields["cause"] != string(cause) || advice == "" || fields["error"] == "" {
			t.Errorf("%s: %v", line.Message, fields)
		}
	}
	if lines != 1 {
		t.Errorf("%d lines: %v", lines, logs.All())
	}
}

func TestEachFaultIsLoggedOnceWithCauseAndAdvice(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	for _, c := range []struct {
		name  string
		set   func(f *fixture)
		url   func(f *fixture) string
		cause store.Cause
		said  string
		// hangs says that no answer ever comes.
		hangs bool
	}{
		{
			name: "a password that the configuration has not", cause: store.Credentials, said: "NOAUTH",
			set: func(f *fixture) { f.do("CONFIG", "SET", "requirepass", "s3cret") },
		},
		{
			name: "a wrong password", cause: store.Credentials, said: "WRONGPASS",
			set: func(f *fixture) { f.do("CONFIG", "SET", "requirepass", "s3cret") },
			url: func(f *fixture) string { return "redis://:wrong@" + f.server.Addr },
		},
		{
			name: "a database that is not there", cause: store.NoDatabase, said: "out of range",
			url: func(f *fixture) string { return "redis://" + f.server.Addr + "/99" },
		},
		{
			name: "a plain port for TLS", cause: store.TLS, said: "rediss", hangs: true,
			url: func(f *fixture) string { return "rediss://" + f.server.Addr },
		},
		{
			name: "a port of TLS for plain", cause: store.TLS, said: "rediss",
			url: func(f *fixture) string { return "redis://" + tlsServer(f.T) },
		},
		{
			name: "a certificate that nobody trusts", cause: store.TLS, said: "certificate",
			url: func(f *fixture) string { return "rediss://" + tlsServer(f.T) },
		},
		{
			name: "a web server", cause: store.NotRedis, said: "HTTP",
			url: func(*fixture) string { return "redis://" + web.Listener.Addr().String() },
		},
		{
			name: "a server in protected mode", cause: store.Credentials, said: "protected-mode",
			url: func(f *fixture) string {
				return "redis://" + turningAway(f.T, "-DENIED Redis is running in protected mode because protected mode is enabled.\r\n", nil)
			},
		},
		{
			name: "no right to run scripts", cause: store.Permission, said: "evalsha",
			set: func(f *fixture) { f.do("ACL", "SETUSER", "default", "-evalsha") },
		},
		{
			name: "no right to a command of the scripts", cause: store.Permission, said: "hmget",
			set: func(f *fixture) { f.do("ACL", "SETUSER", "default", "-hmget") },
		},
		{
			name: "no right to the keys", cause: store.Permission, said: "permissions to access",
			set: func(f *fixture) { f.do("ACL", "SETUSER", "default", "resetkeys", "~other:*") },
		},
		{
			name: "another layout", cause: store.UnknownLayout, said: "LAYOUT",
			set: func(f *fixture) { f.do("HSET", "{cache}:state", "layout", "99") },
		},
		{
			name: "an unknown policy", cause: store.UnknownEviction, said: "of-tomorrow",
			set: func(f *fixture) { f.apply(create("a", "1")); f.do("HSET", "{cache}:state", "eviction", "of-tomorrow") },
		},
		{
			name: "another type", cause: store.WrongType, said: "WRONGTYPE",
			set: func(f *fixture) { f.do("SET", "{cache}:meta", "mine") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if c.set != nil {
				c.set(f)
			}
			url := f.server.URL()
			if c.url != nil {
				url = c.url(f)
			}
			ctx := f.ctx
			if c.hangs {
				ctx = func() context.Context { return f.within(700 * time.Millisecond) }
			}
			s, logs := f.openInfo(url)
			s.CheckOrWarn(ctx())
			for range 2 {
				_, fetch := s.Fetch(ctx(), []string{"a"}, store.AnyRoom)
				_, apply := s.Apply(ctx(), store.Batch{Limits: f.limits, Writes: someWrites()})
				health := s.Probe(ctx(), 0)
				for i, err := range []error{fetch, apply, health.Reads, health.Writes} {
					if store.CauseOf(err) != c.cause {
						t.Errorf("call %d: the cause of %v is %q, want %q", i, err, store.CauseOf(err), c.cause)
					}
				}
				// Only a command that is refused within a script may come too late.
				if errors.Is(apply, store.ErrFateUnknown) && c.said != "hmget" {
					t.Errorf("nothing was sent that could be applied: %v", apply)
				}
			}
			wantOneLine(t, logs, c.cause)
			if line := logs.All()[0]; !strings.Contains(lineText(line), c.said) {
				t.Errorf("%q does not say %q", lineText(line), c.said)
			}
		})
	}
}

func lineText(line observer.LoggedEntry) string {
	text := line.Message
	for _, value := range line.ContextMap() {
		if s, ok := value.(string); ok {
			text += " " + s
		}
	}
	return text
}

func TestRefusedWritesAreLoggedOnceAndSoIsTheirEnd(t *testing.T) {
	for _, c := range []struct {
		cause   store.Cause
		refuse  []any
		mend    []any
		isShown string
	}{
		{store.Full, []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}, "OOM"},
		{store.ReadOnly, []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}, "READONLY"},
		{store.TooFewReplicas, []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}, "NOREPLICAS"},
		{store.Permission, []any{"ACL", "SETUSER", "default", "-zadd"}, []any{"ACL", "SETUSER", "default", "+zadd"}, "zadd"},
	} {
		t.Run(string(c.cause), func(t *testing.T) {
			f := newFixture(t)
			f.apply(create("a", "1"))
			s, logs := f.openInfo(f.server.URL())
			f.do(c.refuse...)
			for range 3 {
				if got, err := s.Fetch(f.ctx(), []string{"a"}, store.AnyRoom); err != nil || got.LostRaises != 1 {
					t.Errorf("%+v, %v", got, err)
				}
				health := s.Probe(f.ctx(), 0)
				if health.Reads != nil || store.CauseOf(health.Writes) != c.cause || !strings.Contains(health.Writes.Error(), c.isShown) {
					t.Errorf("%+v", health)
				}
				a, err := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{put("b", "2")}})
				switch {
				case c.cause == store.Permission:
					if store.CauseOf(err) != c.cause {
						t.Errorf("%v", err)
					}
				case err != nil || a.Results[0].Outcome != store.Refused || a.Results[0].Cause != c.cause:
					t.Errorf("%+v, %v", a, err)
				}
			}
			wantOneLine(t, logs, c.cause)
			if text := lineText(logs.All()[0]); !strings.Contains(text, c.isShown) {
				t.Errorf("%q does not say %q", text, c.isShown)
			}

			f.do(c.mend...)
			if health := s.Probe(f.ctx(), 0); health != (store.Health{}) {
				t.Errorf("mended, and %+v", health)
			}
			for range 2 {
				if got, err := s.Fetch(f.ctx(), []string{"a"}, store.AnyRoom); err != nil || got.LostRaises != 0 {
					t.Errorf("%+v, %v", got, err)
				}
				if _, err := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{put("b", "2")}}); err != nil {
					t.Error(err)
				}
			}
			if n := logs.FilterMessageSnippet("does again").Len(); n != 1 || logs.Len() != 2 {
				t.Errorf("once it is mended: %v", logs.All())
			}
		})
	}
}

func TestACorrectedPasswordIsLogged(t *testing.T) {
	f := newFixture(t)
	f.do("ACL", "SETUSER", "cache", "on", ">old", "~*", "&*", "+@all")
	s, logs := f.openInfo("redis://cache:new@" + f.server.Addr)
	if _, err := s.Fetch(f.ctx(), []string{"a"}, store.AnyRoom); store.CauseOf(err) != store.Credentials {
		t.Fatal(err)
	}
	f.do("ACL", "SETUSER", "cache", ">new")
	if _, err := s.Size(f.ctx()); err != nil {
		t.Fatal(err)
	}
	if n := logs.FilterMessageSnippet("does again").Len(); n != 1 || logs.Len() != 2 {
		t.Errorf("%v", logs.All())
	}
}

func TestASubscriptionThatIsRefusedTellsTheCause(t *testing.T) {
	f := newFixture(t)
	f.do("ACL", "SETUSER", "plain", "on", ">pw", "~{cache}:*", "resetchannels", "+@all")
	s, _ := f.open("redis://plain:pw@" + f.server.Addr + "/0")
	ctx, cancel := context.WithCancel(f.ctx())
	defer cancel()
	o := lossObserver{lost: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, o)
	}()
	err := <-o.lost
	cancel()
	<-ended
	if store.CauseOf(err) != store.Permission || !strings.Contains(err.Error(), "docs/redis.md") {
		t.Error(err)
	}
}

type lossObserver struct {
	observed
	lost chan error
}

func (o lossObserver) Lost(err error) {
	select {
	case o.lost <- err:
	default:
	}
}

// tlsServer starts a Redis with TLS whose CA nobody trusts, and returns its address.
func tlsServer(t *testing.T) string {
	t.Helper()
	ca := redistest.NewCA(t, "nobody's CA", nil)
	return redistest.Start(t, ca.ServerArgs(ca.Issue("redis", nil), "no")...).Addr
}

func TestAnOriginalThatCannotBeReadTellsTheCause(t *testing.T) {
	f := newFixture(t)
	f.do("CONFIG", "SET", "requirepass", "s3cret")
	for url, cause := range map[string]store.Cause{
		"redis://:wrong@" + f.server.Addr: store.Credentials,
		"redis://" + tlsServer(t):         store.TLS,
	} {
		target, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		original := OpenOriginal(target)
		_, err = original.Size(f.ctx())
		original.Close()
		if store.CauseOf(err) != cause {
			t.Errorf("the cause of %v is %q, want %q", err, store.CauseOf(err), cause)
		}
	}
}

// turningAway says some words to each connection, and closes it. Without words it resets the
// connection. It speaks TLS if it has a configuration for it.
func turningAway(t *testing.T, words string, secure *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if words == "" {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			if secure != nil {
				conn = tls.Server(conn, secure)
			}
			_, _ = io.WriteString(conn, words)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// However the end of the connection races with what is written to it, the words of the server
// decide, and not the error of the connection.
func TestAServerThatTurnsClientsAwayIsTold(t *testing.T) {
	ca := redistest.NewCA(t, "a CA", nil)
	pair := ca.Issue("redis", nil)
	own, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	const denied = "-DENIED Redis is running in protected mode because protected mode is enabled\r\n"
	for _, c := range []struct {
		name, words, said string
		cause             store.Cause
	}{
		{"protected mode", denied, "requirepass", store.Credentials},
		{"protected mode, with TLS", denied, "requirepass", store.Credentials},
		{"too many clients", "-ERR max number of clients reached\r\n", "max number of clients", store.Busy},
		{"a proxy that speaks", "-ERR backend is down\r\n", "backend is down", ""},
		{"a proxy that resets", "", "rediss://", store.TLS},
		{"not a word of RESP", "\r\n", "", store.NotRedis},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			var target *Target
			if strings.HasSuffix(c.name, "TLS") {
				secure := &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert}
				target = certificates{ca: ca}.target(t, "rediss://"+turningAway(t, c.words, secure))
			} else {
				target = parse(t, "redis://"+turningAway(t, c.words, nil))
			}
			for range 20 {
				s, _ := f.openTarget(target)
				_, fetch := s.Fetch(f.ctx(), []string{"a"}, store.AnyRoom)
				_, apply := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: someWrites()})
				original := OpenOriginal(target)
				_, size := original.Size(f.ctx())
				original.Close()
				for i, err := range []error{fetch, apply, size} {
					text := fmt.Sprint(err)
					if caused, ok := errors.AsType[*store.CausedError](err); ok {
						text += " " + caused.Advice
					}
					if store.CauseOf(err) != c.cause || !strings.Contains(text, c.said) {
						t.Fatalf("call %d: the cause of %q is %q, want %q and %q", i, text, store.CauseOf(err), c.cause, c.said)
					}
				}
				if errors.Is(apply, store.ErrFateUnknown) {
					t.Errorf("nothing was sent that could be applied: %v", apply)
				}
			}
		})
	}
}
