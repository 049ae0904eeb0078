package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// PrimaryName is the name that Sentinels of tests have for the primary.
const PrimaryName = "mymaster"

// The credentials of URL. Sentinels and replicas have none.
const user, password = "user", "password"

// Guarded is a primary with two replicas, and three Sentinels that watch it.
type Guarded struct {
	Servers   []*Server // the first was the primary at the start
	Sentinels []*Server

	t testing.TB
}

// StartGuarded starts all of them. They end with the test. The args are those of the
// servers; of these, the Sentinels get what is about TLS.
func StartGuarded(t testing.TB, args ...string) *Guarded {
	t.Helper()
	g := &Guarded{t: t}
	args = append([]string{
		"--repl-diskless-sync-delay", "0",
		"--user", user, "on", ">" + password, "~*", "&*", "+@all",
	}, args...)
	first := Start(t, args...)
	g.Servers = []*Server{first}
	host, port, _ := net.SplitHostPort(first.Addr)
	for range 2 {
		g.Servers = append(g.Servers, Start(t, append(args, "--replicaof", host, port)...))
	}
	// A Sentinel asks for the replicas once in ten seconds only.
	await(t, "two replicas follow", func() bool { return online(first) == 2 })
	for range 3 {
		g.Sentinels = append(g.Sentinels, startSentinel(t, host, port, tlsArgs(args)))
	}
	g.AwaitReplicas()
	return g
}

func startSentinel(t testing.TB, host, port string, args []string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 3000\n",
		PrimaryName, host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := run(&Server{Socket: filepath.Join(dir, "redis.sock"), dir: dir, conf: conf, args: append([]string{"--sentinel"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// URL returns the addresses of the Sentinels as a value of the setting store.
func (g *Guarded) URL() string {
	var hosts []string
	for _, s := range g.Sentinels {
		hosts = append(hosts, s.Addr)
	}
	scheme := "redis"
	if g.Servers[0].hasTLS() {
		scheme = "rediss"
	}
	return scheme + "+sentinel://" + user + ":" + password + "@" + strings.Join(hosts, ",") + "/" + PrimaryName
}

// Primary returns the server that the first Sentinel names.
func (g *Guarded) Primary() *Server {
	g.t.Helper()
	addr, err := g.Sentinels[0].controller().Do(context.Background(), "SENTINEL", "get-master-addr-by-name", PrimaryName).StringSlice()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, s := range g.Servers {
		if s.Addr == net.JoinHostPort(addr[0], addr[1]) {
			return s
		}
	}
	g.t.Fatalf("the Sentinels name %v", addr)
	return nil
}

// Failover makes a replica the primary, as for maintenance, and waits until every
// Sentinel names it.
func (g *Guarded) Failover() {
	g.t.Helper()
	old := g.Primary()
	if err := g.Sentinels[0].controller().Do(context.Background(), "SENTINEL", "FAILOVER", PrimaryName).Err(); err != nil {
		g.t.Fatal(err)
	}
	g.AwaitOther(old)
}

// CutOff makes s unable to answer the Sentinels, so that they choose another primary. It
// still answers clients that connect as URL says, and takes itself for the primary.
func (g *Guarded) CutOff(s *Server) {
	g.t.Helper()
	g.must(s, "ACL", "SETUSER", "default", "-ping")
}

// Reconnect ends CutOff.
func (g *Guarded) Reconnect(s *Server) {
	g.t.Helper()
	g.must(s, "ACL", "SETUSER", "default", "+ping")
}

// Follow makes s a replica of primary.
func (g *Guarded) Follow(s, primary *Server) {
	g.t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	g.must(s, "REPLICAOF", host, port)
}

func (g *Guarded) must(s *Server, args ...any) {
	g.t.Helper()
	if err := s.controller().Do(context.Background(), args...).Err(); err != nil {
		g.t.Fatalf("%v: %v", args, err)
	}
}

// AwaitOther waits until every Sentinel names another primary than old.
func (g *Guarded) AwaitOther(old *Server) {
	g.t.Helper()
	await(g.t, "another primary", func() bool {
		for _, s := range g.Sentinels {
			addr, err := s.controller().Do(context.Background(), "SENTINEL", "get-master-addr-by-name", PrimaryName).StringSlice()
			if err != nil || net.JoinHostPort(addr[0], addr[1]) == old.Addr {
				return false
			}
		}
		return true
	})
}

// AwaitReplicas waits until the Sentinels can choose among all replicas that run.
func (g *Guarded) AwaitReplicas() {
	g.t.Helper()
	await(g.t, "all replicas follow", func() bool {
		primary := g.Primary()
		role, err := primary.controller().Do(context.Background(), "ROLE").Slice()
		if err != nil || role[0] != "master" {
			return false
		}
		for _, s := range g.Sentinels {
			ask := redis.NewMapStringStringCmd(context.Background(), "SENTINEL", "MASTER", PrimaryName)
			if s.controller().Process(context.Background(), ask) != nil {
				return false
			}
			fields := ask.Val()
			if fields["num-slaves"] != fmt.Sprint(len(g.Servers)-1) || fields["num-other-sentinels"] != fmt.Sprint(len(g.Sentinels)-1) || fields["flags"] != "master" {
				return false
			}
		}
		return online(primary) == len(g.Servers)-1
	})
}

// online returns how many replicas follow s.
func online(s *Server) int {
	return strings.Count(s.controller().Info(context.Background(), "replication").Val(), "state=online")
}
