package redisstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// safe is a namespace whose batches demand a durability.
type safe struct {
	*fixture
	demanded store.Durability
}

// follow starts a replica of a server, and waits until it follows.
func follow(t *testing.T, server *redistest.Server) *redistest.Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(server.Addr)
	client := server.Client()
	before := replicas(t, client)
	r := redistest.Start(t, "--replicaof", host, port)
	eventually(t, "the replica follows", func() bool { return replicas(t, client) == before+1 })
	return r
}

// replicas returns how many are online.
func replicas(t *testing.T, client *redis.Client) int {
	t.Helper()
	info, err := client.Info(t.Context(), "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(info, "state=online")
}

// newReplicated returns a primary with a replica, and a server that has the copy.
func newReplicated(t *testing.T, demanded store.Durability) (*safe, *redistest.Server) {
	t.Helper()
	server := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	replica := follow(t, server)
	f := &fixture{T: t, server: server, redis: server.Client(), limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	f.store, f.logs = f.open(server.URL())
	return &safe{f, demanded}, replica
}

// try applies a write, and returns its outcome and why it is not durable.
func (s *safe) try(within time.Duration, writes ...store.Write) (store.Outcome, error) {
	s.Helper()
	a, err := s.attempt(within, writes...)
	if err != nil {
		s.Fatal(err)
	}
	return a.Results[len(a.Results)-1].Outcome, a.NotDurable
}

func (s *safe) attempt(within time.Duration, writes ...store.Write) (store.Applied, error) {
	return s.store.Apply(s.within(within), store.Batch{Writes: writes, Limits: s.limits, Durability: s.demanded})
}

// durable applies a write that becomes durable.
func (s *safe) durable(w store.Write, want store.Outcome) {
	s.Helper()
	if got, short := s.try(patience, w); got != want || short != nil {
		s.Errorf("outcome %s, not durable: %v; want %s", got, short, want)
	}
}

// lacking applies a write that does not become durable in time.
func (s *safe) lacking(w store.Write, want store.Outcome) {
	s.Helper()
	got, short := s.try(shortTime, w)
	if got != want || !errors.Is(short, store.ErrNotDurable) || store.CauseOf(short) != store.NotDurable {
		s.Errorf("outcome %s, not durable: %v; want %s", got, short, want)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	(&room{T: t}).until(what, condition)
}

// waiting waits until some client waits for a replica or for the disk.
func (s *safe) waiting() {
	s.Helper()
	eventually(s.T, "a client waits", func() bool {
		return strings.Contains(s.redis.Info(context.Background(), "clients").Val(), "blocked_clients:1")
	})
}

func TestABatchIsDurableOnceTheReplicaHasIt(t *testing.T) {
	t.Parallel()
	s, replica := newReplicated(t, 1)
	copied := replica.Client()
	s.durable(create("k", "1"), store.Created)
	if got := copied.HGet(s.ctx(), "{cache}:values", "k").Val(); got != "1" {
		t.Errorf("the replica has %q", got)
	}
	s.durable(put("k", "2"), store.Replaced)
	s.durable(remove("none"), store.Absent)

	replica.Pause()
	s.lacking(create("new", "1"), store.Created)
	s.lacking(put("k", "3"), store.Replaced)
	if got := s.redis.HGetAll(s.ctx(), "{cache}:values").Val(); got["new"] != "1" || got["k"] != "3" {
		t.Errorf("Redis has %v", got)
	}
	// Clients repeat their requests, perhaps at another node. The answers depend on writes
	// that are not durable.
	other := &safe{&fixture{T: t, server: s.server, redis: s.redis, limits: s.limits}, 1}
	other.store, _ = other.open(s.server.URL())
	other.lacking(create("new", "1"), store.Conflict)
	other.lacking(store.Write{Op: store.Put, Key: "k", IfNoneMatch: store.AnyVersion, Value: create("", "late").Value}, store.PreconditionFailed)
	other.lacking(remove("none"), store.Absent)

	replica.Resume()
	other.durable(create("new", "1"), store.Conflict)
	s.durable(put("new", "2"), store.Replaced)
	if got := copied.HGetAll(s.ctx(), "{cache}:values").Val(); got["new"] != "2" || got["k"] != "3" {
		t.Errorf("the replica has %v", got)
	}
	if n := s.logs.FilterMessageSnippet("not as durable as demanded").Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

func TestFewerReplicasThanDemandedAreToldInTime(t *testing.T) {
	t.Parallel()
	s, _ := newReplicated(t, 2)
	s.lacking(create("k", "1"), store.Created)
	if warned := s.logs.FilterField(observedCause(store.NotDurable)).All(); len(warned) != 1 ||
		warned[0].ContextMap()["error"] != "replicas that confirmed the writes in time: 1; demanded: 2" {
		t.Errorf("logged %+v", s.logs.All())
	}
	if err := s.store.Probe(s.ctx(), 2).Writes; store.CauseOf(err) != store.NotDurable || !errors.Is(err, store.ErrRefused) {
		t.Errorf("writes: %v", err)
	}
	if health := s.store.Probe(s.ctx(), 1); health != (store.Health{}) {
		t.Errorf("for one replica: %+v", health)
	}
	s.demanded = 1
	s.durable(put("k", "2"), store.Replaced)
}

// The answer is lost, and the batch is sent again. Then it is answered from its record, on
// a connection that has written nothing.
func TestARepeatedBatchWaitsToo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, write store.Write
		want          store.Outcome
	}{
		"that changed something": {put("other", "1"), create("k", "1"), store.Created},
		"that changed nothing":   {put("k", "1"), create("k", "1"), store.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			s, replica := newReplicated(t, 1)
			proxy := faultproxy.Start(t, s.server.Addr)
			s.store, _ = s.open(proxy.URL())
			s.durable(c.before, store.Created)

			replica.Pause()
			proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose})
			s.lacking(c.write, c.want)
			number := s.head().number
			proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose})
			s.lacking(put("k", "2"), store.Replaced)
			replica.Resume()
			proxy.Next(faultproxy.Fault{Ending: faultproxy.Lose})
			s.durable(put("k", "3"), store.Replaced)
			if got := s.head().number; got != number+2 {
				t.Errorf("two writes took %d numbers", got-number)
			}
		})
	}
}

// WAIT waits for the last write of its connection. Some servers, such as Valkey 8, do not
// let it wait for more, so every script before it must write something.
func TestTheScriptOfADurableBatchAlwaysWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(create("k", "1"))
	changes := func() string {
		_, rest, _ := strings.Cut(f.redis.Info(f.ctx(), "persistence").Val(), "rdb_changes_since_last_save:")
		n, _, _ := strings.Cut(rest, "\r\n")
		return n
	}
	for name, c := range map[string]struct {
		durable bool
		writes  [2]bool // at the first time, and when it is repeated
	}{
		"durable": {true, [2]bool{true, true}},
		"other":   {false, [2]bool{}},
	} {
		w := newWriter()
		args := f.store.applyArgs(store.Batch{Limits: f.limits, Writes: []store.Write{create("k", "1"), remove("none")}}, 1)
		for i, want := range c.writes {
			before := changes()
			args[0], args[1] = 1, w.knows(false, c.durable)
			if err := applyScript.Run(f.ctx(), f.redis, f.store.keys.scripts(w.id), args...).Err(); err != nil {
				t.Fatal(err)
			}
			if writes := changes() != before; writes != want {
				t.Errorf("%s, time %d: it writes: %t", name, i+1, writes)
			}
		}
	}
}

func TestAWaitThatBreaksOffBeginsAgain(t *testing.T) {
	t.Parallel()
	s, replica := newReplicated(t, 1)
	proxy := faultproxy.Start(t, s.server.Addr)
	s.store, _ = s.open(proxy.URL())
	s.durable(create("other", "1"), store.Created)
	number := s.head().number

	replica.Pause()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.durable(create("k", "1"), store.Created)
	}()
	s.waiting()
	before, _ := proxy.Scripts()
	proxy.CutAll()
	eventually(t, "the batch is sent again", func() bool {
		came, _ := proxy.Scripts()
		return came > before
	})
	s.waiting()
	replica.Resume()
	<-done
	if got := s.head().number; got != number+1 {
		t.Errorf("the write took %d numbers", got-number)
	}
}

func TestClosingTheStoreEndsAWait(t *testing.T) {
	t.Parallel()
	s, replica := newReplicated(t, 1)
	replica.Pause()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got, short := s.try(patience, create("k", "1")); got != store.Created || !errors.Is(short, store.ErrNotDurable) {
			t.Errorf("outcome %s, not durable: %v", got, short)
		}
	}()
	s.waiting()
	_ = s.store.Close()
	<-done
}

func TestABatchIsRefusedIfTheUserMayNotWait(t *testing.T) {
	t.Parallel()
	s, _ := newReplicated(t, 1)
	s.do("ACL", "SETUSER", "cache", "on", ">password", "~*", "&*", "+@all", "-wait")
	s.store, s.logs = s.open("redis://cache:password@" + s.server.Addr + "/0")
	_, err := s.attempt(patience, create("k", "1"))
	if !errors.Is(err, store.ErrRefused) || store.CauseOf(err) != store.Permission || !strings.Contains(err.Error(), "wait") {
		t.Errorf("got %v", err)
	}
	if n := s.redis.Exists(s.ctx(), "{cache}:values").Val(); n != 0 {
		t.Error("the script ran")
	}
	if err := s.store.Probe(s.ctx(), 1).Writes; store.CauseOf(err) != store.Permission || !strings.Contains(err.Error(), "wait") {
		t.Errorf("writes: %v", err)
	}
	s.do("ACL", "SETUSER", "cache", "+wait")
	s.durable(create("k", "1"), store.Created)
}

// A full Redis may lose an answer's basis, and cannot note that it was asked.
func TestAnAnswerIsRefusedIfItCannotBecomeDurable(t *testing.T) {
	t.Parallel()
	s, _ := newReplicated(t, 1)
	s.durable(create("k", "1"), store.Created)
	s.do("CONFIG", "SET", "maxmemory", "1")
	if _, err := s.attempt(patience, create("k", "1")); !errors.Is(err, store.ErrRefused) || store.CauseOf(err) != store.Full {
		t.Errorf("got %v", err)
	}
	s.durable(remove("k"), store.Deleted)
}

// hasWaitAOF reports whether the server under test knows WAITAOF.
func hasWaitAOF(t *testing.T, server *redistest.Server) bool {
	t.Helper()
	known, err := server.Client().Do(t.Context(), "COMMAND", "INFO", "waitaof").Slice()
	if err != nil {
		t.Fatal(err)
	}
	return len(known) == 1 && known[0] != nil
}

// From Redis 7.2 on, fsync is possible. Before, every batch is refused, and the error says
// so.
func TestFsync(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec")
	f := &fixture{T: t, server: server, redis: server.Client(), limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	f.store, f.logs = f.open(server.URL())
	s := &safe{f, store.Fsync}
	refused := func(cause store.Cause, why string) {
		t.Helper()
		for i := range 2 {
			if _, err := s.attempt(patience, create("refused", "1")); !errors.Is(err, store.ErrRefused) || store.CauseOf(err) != cause || !strings.Contains(err.Error(), why) {
				t.Errorf("try %d: %v", i, err)
			}
		}
		if f.redis.HExists(f.ctx(), "{cache}:values", "refused").Val() {
			t.Error("the script ran")
		}
		health := s.store.Probe(f.ctx(), store.Fsync)
		if health.Reads != nil || store.CauseOf(health.Writes) != cause || !strings.Contains(health.Writes.Error(), why) {
			t.Errorf("%+v", health)
		}
		if n := f.logs.FilterField(observedCause(cause)).Len(); n != 1 {
			t.Errorf("%d warnings", n)
		}
	}
	if !hasWaitAOF(t, server) {
		s.store.CheckDurability(f.ctx(), store.Fsync)
		refused(store.TooOld, "Redis 7.2")
		return
	}
	s.durable(create("k", "1"), store.Created)
	s.durable(create("k", "1"), store.Conflict)
	if health := s.store.Probe(f.ctx(), store.Fsync); health != (store.Health{}) {
		t.Errorf("%+v", health)
	}

	// Redis never flushes of its own accord then.
	f.do("CONFIG", "SET", "appendfsync", "no")
	s.lacking(put("k", "2"), store.Replaced)
	f.do("CONFIG", "SET", "appendfsync", "always")
	s.durable(put("k", "3"), store.Replaced)

	f.do("CONFIG", "SET", "appendonly", "no")
	// The store learns of it when Redis has the write already.
	if _, short := s.try(patience, put("k", "4")); store.CauseOf(short) != store.NoAppendOnly {
		t.Errorf("not durable: %v", short)
	}
	f.logs.TakeAll()
	s.store, f.logs = s.open(server.URL())
	refused(store.NoAppendOnly, "appendonly yes")
}

// observedCause is the field that a warning of a cause has.
func observedCause(cause store.Cause) zap.Field { return zap.String("cause", string(cause)) }
