package redisstore

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// watching subscribes until the end of the test.
func (f *fixture) watching(s *Store) observed {
	f.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := observed{subscribed: make(chan struct{}, 8), changed: make(chan store.Event, 8)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, o)
	}()
	f.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-o.subscribed:
	case <-time.After(patience):
		f.Fatal("no subscription")
	}
	return o
}

func TestNodesAreThoseThatSubscribe(t *testing.T) {
	f := newFixture(t)
	if nodes, count, err := f.store.Nodes(f.ctx()); err != nil || len(nodes) != 0 || count != 0 {
		t.Errorf("before anyone subscribed: %+v, %d, %v", nodes, count, err)
	}
	f.watching(f.store)
	nodes, count, err := f.store.Nodes(f.ctx())
	if err != nil || len(nodes) != 1 || count != 1 || nodes[0].Name != nodeName || !nodes[0].This {
		t.Errorf("%+v, %d, %v", nodes, count, err)
	}
}

func TestNodesOfAUserWithoutTheRightToNamesAreCounted(t *testing.T) {
	f := newFixture(t)
	f.do("ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", "-client")
	f.store, _ = f.open("redis://u:p@" + f.server.Addr + "/0")
	f.watching(f.store)
	nodes, count, err := f.store.Nodes(f.ctx())
	if err != nil || len(nodes) != 0 || count != 1 {
		t.Errorf("%+v, %d, %v", nodes, count, err)
	}
	f.do("ACL", "SETUSER", "u", "-pubsub")
	if nodes, count, err := f.store.Nodes(f.ctx()); err == nil {
		t.Errorf("%+v, %d", nodes, count)
	}
}

func TestNodesAreReadFromTheClientList(t *testing.T) {
	list := "id=3 addr=127.0.0.1:1 name=redis_proxy:a:host-1:7.00000f age=12 db=0 sub=1 cmd=subscribe\n" +
		"id=4 addr=127.0.0.1:2 name=redis_proxy:a:host-1:7.00000f age=90 db=0 sub=1 cmd=subscribe\n" + // left over
		"id=9 addr=127.0.0.1:7 name=redis_proxy:a:host-1:7.0000a0 age=30 db=0 sub=1 cmd=subscribe\n" + // another container
		"id=5 addr=127.0.0.1:3 name=redis_proxy:a:b:host-2:8 age=5 db=0 sub=1 cmd=subscribe\n" + // namespace a:b
		"id=6 addr=127.0.0.1:4 name=redis_proxy:a:host-3:9 age=5 db=1 sub=1 cmd=subscribe\n" +
		"id=7 addr=127.0.0.1:5 name= age=5 db=0 sub=1 cmd=subscribe\n" +
		"id=8 addr=127.0.0.1:6 name=redis_proxy:a:" + nodeName + " age=1 db=0 sub=1 cmd=ping\n"
	nodes := keyspace{tag: "a"}.nodes(list)
	if len(nodes) != 3 {
		t.Fatalf("%+v", nodes)
	}
	for _, n := range nodes {
		switch n {
		case Node{Name: "host-1:7.00000f", Connected: 12 * time.Second}, Node{Name: "host-1:7.0000a0", Connected: 30 * time.Second},
			Node{Name: nodeName, Connected: time.Second, This: true}:
		default:
			t.Errorf("%+v", n)
		}
	}
}

// TestNodeNamesTellProcessesApart names two processes that have the same id, in
// containers with the same host name.
func TestNodeNamesTellProcessesApart(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(host) + `:` + strconv.Itoa(os.Getpid()) + `\.[0-9a-f]{6}$`)
	if !form.MatchString(nodeName) {
		t.Errorf("%s is not of the form %s", nodeName, form)
	}
	if a, b := newNodeName(), newNodeName(); a == b {
		t.Errorf("two processes are called %s", a)
	}
}
