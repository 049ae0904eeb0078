package redisstore

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// behindProxies opens a store that reaches each Sentinel through a proxy of its own.
func behindProxies(t *testing.T, g *redistest.Guarded) (*fixture, []*faultproxy.Proxy) {
	t.Helper()
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	url := g.URL()
	var proxies []*faultproxy.Proxy
	for _, s := range g.Sentinels {
		p := faultproxy.Start(t, s.Addr)
		proxies = append(proxies, p)
		url = strings.Replace(url, s.Addr, p.Addr, 1)
	}
	f.store, f.logs = f.open(url)
	return f, proxies
}

// A primary hangs, and no Sentinel can be asked until another one was promoted. No message
// tells of it then.
func TestAHungPrimaryIsLeftAlthoughSentinelsWereSilent(t *testing.T) {
	g := redistest.StartGuarded(t)
	f, proxies := behindProxies(t, g)
	f.apply(create("a", "1"))
	for _, p := range proxies {
		p.Freeze()
	}
	old := g.Primary()
	old.Pause()
	if _, err := f.store.Apply(f.within(2*time.Second), store.Batch{Limits: f.limits, Writes: []store.Write{put("a", "2")}}); err == nil {
		t.Error("a hung server took a write")
	}
	g.AwaitOther(old)
	for _, p := range proxies {
		p.Thaw()
	}
	f.apply(put("a", "3"))
	old.Resume()
	if got := f.fetch("a").Entries[0]; string(got.Data) != "3" {
		t.Errorf("got %q", got.Data)
	}
}

// A Sentinel ends its connections, and then accepts new ones without a word.
func TestASubscriptionMovesAlthoughASentinelHangs(t *testing.T) {
	g := redistest.StartGuarded(t)
	f, proxies := behindProxies(t, g)
	o := f.watching(f.store)
	proxies[2].Freeze()
	proxies[2].CutAll()
	g.Failover()
	f.awaitEvent(o, g.Primary().Addr)
}

// awaitEvent writes to the server at addr, until o gets an event.
func (f *fixture) awaitEvent(o observed, addr string) {
	f.Helper()
	other, _ := f.open("redis://" + addr + "/0")
	deadline := time.After(patience)
	for {
		if _, err := other.Apply(f.ctx(), store.Batch{Writes: []store.Write{put("seen", "v")}, Limits: f.limits}); err != nil {
			f.Fatal(err)
		}
		select {
		case <-o.changed:
			return
		case <-o.subscribed:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			f.Fatal("no event of the new primary")
		}
	}
}

// told is a topology that a test tells which server is the primary.
type told struct {
	mu   sync.Mutex
	addr string
}

func (p *told) find(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr, nil
}

func (p *told) tell(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = addr
}

func (*told) confirm(context.Context, *redis.Client, string) error { return nil }

func (*told) believe(string, time.Time) error { return nil }

func (*told) listen(ctx context.Context, _ listener) { <-ctx.Done() }

func (*told) close() {}

// A call may be the first to learn of another primary. The old one still answers, and
// nothing else would end the subscription there.
func TestTheSubscriptionIsAtTheServerThatCallsGoTo(t *testing.T) {
	f := newFixture(t)
	primary := &told{addr: f.server.Addr}
	f.store.topology = primary
	o := f.watching(f.store)
	other := redistest.Start(t)
	primary.tell(other.Addr)
	f.store.renew("")
	f.fetch("a")
	f.awaitEvent(o, other.Addr)
}

// A primary that hung may not know yet that another one took over.
func TestAnAnswerAfterASilenceIsBelievedOnlyIfAnotherNodeAgrees(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	n := newClusterNodes(t.Context(), parse(t, c.URL()), keyspace{tag: "cache"})
	if _, err := n.find(t.Context()); err != nil { // it learns of all nodes
		t.Fatal(err)
	}
	old := c.Owner(stateKey)
	before := c.Nodes[old].Addr
	believes := func(addr string, heard, asked time.Time, want error) {
		t.Helper()
		n.heardAt, n.heard = addr, heard
		if err := n.believe(addr, asked); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
		if want == nil && !n.heard.Equal(asked) {
			t.Errorf("heard at %v, want %v", n.heard, asked)
		}
	}
	now := time.Now()
	believes(before, now.Add(-2*silentFor), now, nil)
	c.Failover(old)
	c.Await("all nodes know", func() bool {
		for range c.Nodes {
			if addr, err := n.find(t.Context()); err != nil || addr == before {
				return false
			}
		}
		return true
	})
	now = time.Now()
	believes(before, now.Add(-2*silentFor), now, errMoved)
	// An answer to a question of before the silence shows nothing.
	believes(before, now.Add(-2*silentFor), now.Add(-3*silentFor/2), errMoved)
	after := c.Nodes[c.Owner(stateKey)].Addr
	believes(after, now.Add(-2*silentFor), now, nil)
	n.known = []string{before, "127.0.0.1:1"} // no other node can be asked
	believes(before, now.Add(-2*silentFor), now, nil)
}

// A node that takes itself for the primary may be an old one, which has heard of nothing.
func TestANodeOfAClusterIsNotBelievedAboutItself(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	owner := c.Nodes[c.Owner(stateKey)].Addr
	old := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	slots := make([]int, 16384)
	for i := range slots {
		slots[i] = i
	}
	if err := old.Client().ClusterAddSlots(t.Context(), slots...).Err(); err != nil {
		t.Fatal(err)
	}
	n := newClusterNodes(t.Context(), parse(t, c.URL()), keyspace{tag: "cache"})
	for turn := range 4 {
		n.known, n.turn = append([]string{old.Addr}, n.target.hosts...), turn
		if got, err := n.find(t.Context()); err != nil || got != owner {
			t.Errorf("found %s, %v, want %s", got, err, owner)
		}
	}
}
