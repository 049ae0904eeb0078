package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// stateKey is a key of the namespace, and so in its slot.
const stateKey = "{cache}:state"

// site is some servers, one of which is the primary.
type site struct {
	url     string
	servers []*redistest.Server
	cause   func(primary *redistest.Server) // of a failover
	// promoted, if set, comes as soon as another server is the primary.
	promoted func(old *redistest.Server)
	mend     func(old, primary *redistest.Server)
	// durability is what writes demand: all replicas. So none is acknowledged from a fault
	// until the site is mended.
	durability store.Durability
}

// failovers are the kinds of failovers, and slot moves, which are like them.
var failovers = []struct {
	name  string
	start func(t *testing.T) site
	// keepsAll says that Redis loses nothing.
	keepsAll bool
}{
	{name: "SENTINEL FAILOVER", start: func(t *testing.T) site {
		g := redistest.StartGuarded(t)
		ask := g.Sentinels[0].Client()
		return guarded(g, func(*redistest.Server) {
			eventually(t, "the Sentinel begins", func() bool {
				return ask.Do(context.Background(), "SENTINEL", "FAILOVER", redistest.PrimaryName).Err() == nil
			})
		}, func(_, _ *redistest.Server) {})
	}},
	{name: "Sentinels, primary killed", start: func(t *testing.T) site {
		g := redistest.StartGuarded(t)
		return guarded(g, (*redistest.Server).Kill, func(old, _ *redistest.Server) { restart(t, old) })
	}},
	{name: "Sentinels, primary killed, all replicas confirm", keepsAll: true, start: func(t *testing.T) site {
		g := redistest.StartGuarded(t)
		s := guarded(g, (*redistest.Server).Kill, func(old, _ *redistest.Server) { restart(t, old) })
		s.durability = 2
		return s
	}},
	{name: "Sentinels, primary hung", start: func(t *testing.T) site {
		return hanging(guarded(redistest.StartGuarded(t), (*redistest.Server).Pause, func(_, _ *redistest.Server) {}))
	}},
	{name: "Sentinels, primary cut off from them", start: func(t *testing.T) site {
		g := redistest.StartGuarded(t)
		return guarded(g, g.CutOff, func(old, _ *redistest.Server) { g.Reconnect(old) })
	}},
	{name: "CLUSTER FAILOVER", start: func(t *testing.T) site {
		c := redistest.StartCluster(t, 3)
		return clustered(c, func(*redistest.Server) { c.Failover(c.Owner(stateKey)) }, func(_, _ *redistest.Server) {})
	}},
	{name: "Cluster, primary killed", start: func(t *testing.T) site {
		c := redistest.StartCluster(t, 3)
		return clustered(c, (*redistest.Server).Kill, func(old, _ *redistest.Server) { restart(t, old) })
	}},
	{name: "Cluster, primary killed, its replica confirms", keepsAll: true, start: func(t *testing.T) site {
		c := redistest.StartCluster(t, 3)
		s := clustered(c, (*redistest.Server).Kill, func(old, _ *redistest.Server) { restart(t, old) })
		s.durability = 1
		return s
	}},
	{name: "Cluster, primary hung", start: func(t *testing.T) site {
		return hanging(clustered(redistest.StartCluster(t, 3), (*redistest.Server).Pause, func(_, _ *redistest.Server) {}))
	}},
	{name: "Cluster, slot moved", keepsAll: true, start: func(t *testing.T) site {
		c := redistest.StartCluster(t, 3)
		return clustered(c, func(*redistest.Server) { c.MoveSlot(stateKey, (c.Owner(stateKey)+1)%3) }, func(_, _ *redistest.Server) {})
	}},
}

func guarded(g *redistest.Guarded, cause func(*redistest.Server), mend func(old, primary *redistest.Server)) site {
	return site{url: g.URL(), servers: g.Servers, cause: cause, mend: func(old, primary *redistest.Server) {
		g.AwaitOther(old)
		mend(old, primary)
		g.Follow(old, g.Primary()) // the Sentinels would wait for ten seconds
		g.AwaitReplicas()
	}}
}

func clustered(c *redistest.Cluster, cause func(*redistest.Server), mend func(old, primary *redistest.Server)) site {
	return site{url: c.URL(), servers: c.Nodes, cause: cause, mend: func(old, primary *redistest.Server) {
		mend(old, primary)
		c.AwaitReplicas()
	}}
}

// hanging makes the old primary go on at the worst moment: another server has just been
// promoted, the old one does not know it, and neither do the nodes.
func hanging(s site) site {
	s.promoted = (*redistest.Server).Resume
	return s
}

func restart(t *testing.T, s *redistest.Server) {
	t.Helper()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
}

// Three nodes write and read through their local tiers, while one failover follows
// another. The counts are those of docs/scale.md.
func TestFailoversLoseNothingButWhatRedisLoses(t *testing.T) {
	for _, kind := range failovers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := kind.start(t)
			work := startWork(t, s)
			stalls := watchStalls(t, s.servers)
			var sum counts
			defer func() { t.Log(sum) }()
			var kept []string
			for end := time.Now().Add(soak(t, 0)); ; {
				p, sound := failover(t, s, work)
				l := work.turn()
				if !sound {
					t.Log("a server that was only slow was replaced too; this failover does not count")
					continue
				}
				sum.judge(t, l, p, stalls)
				kept = append(kept, keys(has(t, p.primary, l.newKeys()))...)
				if t.Failed() || time.Now().After(end) {
					if n := len(has(t, p.primary, kept)); n != len(kept) && kind.keepsAll {
						t.Errorf("%d of %d keys are left at the end", n, len(kept))
					}
					break
				}
			}
			if kind.keepsAll && sum.lagged+sum.two > 0 {
				t.Errorf("Redis loses nothing here, and %d writes are lost", sum.lagged+sum.two)
			}
			if sum.acknowledged == 0 {
				t.Error("nothing was written")
			}
		})
	}
}

func keys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// failover causes one, and mends the site when every node writes to the new primary. It
// reports whether that is the primary still.
func failover(t *testing.T, s site, work *workload) (p promotion, sound bool) {
	t.Helper()
	old := owner(s.servers, nil)
	eventually(t, "a primary", func() bool {
		old = owner(s.servers, nil)
		return old != nil
	})
	eventually(t, "all nodes write", func() bool { return work.wroteSince(time.Now().Add(-50*time.Millisecond), nodesAtWork) })
	p.fault = time.Now()
	var primary *redistest.Server
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for end := time.Now().Add(patience); primary == nil && time.Now().Before(end); {
			before := time.Now()
			if primary = owner(s.servers, old); primary == nil {
				p.before = before
			}
		}
		p.after = time.Now()
	}()
	s.cause(old)
	<-looked
	if primary == nil {
		t.Fatal("no other server became the primary")
	}
	if s.promoted != nil {
		s.promoted(old)
	}
	p.primary = primary.Client()
	work.mu.Lock()
	var asked []string
	for _, w := range work.writes {
		if w.ended.Before(p.before) {
			asked = append(asked, w.key)
		}
	}
	work.mu.Unlock()
	p.has, p.looked = has(t, p.primary, asked), time.Now()
	if s.durability == store.InMemory {
		eventually(t, "all nodes write to the new primary", func() bool { return work.wroteSince(p.after, nodesAtWork) })
	}
	s.mend(old, primary)
	at := time.Now()
	eventually(t, "all nodes write after it is mended", func() bool { return work.wroteSince(at, nodesAtWork) })
	return p, owner(s.servers, nil) == primary
}

// owner returns the server that says that it is the primary of the namespace, and is not
// the old one.
func owner(servers []*redistest.Server, old *redistest.Server) *redistest.Server {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range servers {
		if s == old {
			continue
		}
		if s.Owns(ctx, stateKey) {
			return s
		}
	}
	return nil
}

const nodesAtWork = 3

// workload is what the nodes do all the time.
type workload struct{ ledger }

func startWork(t *testing.T, at site) *workload {
	work := &workload{ledger{lastAck: map[int]time.Time{}}}
	s := settings()
	s.Limits.MaxKeys = 10_000_000
	s.Durability = at.durability
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range nodesAtWork {
		e, _ := nodeAt(t, at.url, s)
		eventually(t, "it writes", func() bool {
			_, err := e.Write(ctx, store.Write{Op: store.Put, Key: counting(i), Value: text("1")})
			return err == nil
		})
		paced := func(every time.Duration, step func(n int)) {
			running.Go(func() {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for n := 2; ctx.Err() == nil; n++ {
					step(n)
					select {
					case <-ctx.Done():
					case <-tick.C:
					}
				}
			})
		}
		paced(4*time.Millisecond, func(n int) {
			work.write(ctx, e, written{node: i, key: fmt.Sprintf("new-%d-%d", i, n)})
		})
		paced(4*time.Millisecond, func(n int) { work.write(ctx, e, written{node: i, key: counting(i), number: n}) })
		for other := range nodesAtWork {
			paced(3*time.Millisecond, func(int) { work.get(ctx, e, i, counting(other)) })
		}
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return work
}

func counting(node int) string { return fmt.Sprint("counting-", node) }

func (l *workload) write(ctx context.Context, e *engine.Engine, w written) {
	w.began = time.Now()
	var r store.Result
	var err error
	if w.number > 0 {
		r, err = e.Write(ctx, store.Write{Op: store.Put, Key: w.key, Value: text(fmt.Sprint(w.number))})
	} else {
		r, err = e.Write(ctx, store.Write{Op: store.Create, Key: w.key, Value: text("v")})
	}
	w.ended = time.Now()
	if err != nil || r.Outcome == store.Conflict {
		l.fail()
		return
	}
	l.wrote(w)
}

func (l *workload) get(ctx context.Context, e *engine.Engine, node int, key string) {
	r := served{node: node, key: key, began: time.Now()}
	a, err := e.Get(ctx, key, engine.Read{})
	if err != nil {
		return
	}
	fmt.Sscan(read(a), &r.number)
	l.ledger.read(r)
}
