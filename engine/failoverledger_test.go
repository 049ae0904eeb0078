package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// ledger has the calls of one failover, and what they must show afterwards.
type ledger struct {
	mu     sync.Mutex
	writes []written
	reads  []served
	failed int
	// lastAck is when a write of each node was acknowledged last, and outage the longest
	// time between two.
	lastAck map[int]time.Time
	outage  time.Duration
}

// written is an acknowledged write: of the new key of that name, or of the next number to
// a key that counts.
type written struct {
	node         int
	key          string
	number       int // 0 for a new key
	began, ended time.Time
}

// served is the number that a read of a counting key was answered with.
type served struct {
	node   int
	key    string
	number int
	began  time.Time
}

func (l *ledger) wrote(w written) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
	if last, ok := l.lastAck[w.node]; ok {
		l.outage = max(l.outage, w.ended.Sub(last))
	}
	l.lastAck[w.node] = w.ended
}

func (l *ledger) read(r served) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads = append(l.reads, r)
}

func (l *ledger) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
}

// turn returns the calls so far, and begins anew.
func (l *ledger) turn() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := &ledger{writes: l.writes, reads: l.reads, failed: l.failed, outage: l.outage}
	l.writes, l.reads, l.failed, l.outage = nil, nil, 0, 0
	return old
}

// wroteSince reports whether every node had a write acknowledged that began after at.
func (l *ledger) wroteSince(at time.Time, nodes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := map[int]bool{}
	for _, w := range l.writes {
		if w.began.After(at) {
			who[w.node] = true
		}
	}
	return len(who) == nodes
}

// promotion is the moment at which another server takes the writes. It lies between two
// looks. The map has holds what the new primary had right after it: of the keys written
// before.
type promotion struct {
	fault         time.Time // the failover was caused
	before, after time.Time
	primary       *redis.Client
	has           map[string]string
	looked        time.Time // has was complete
}

// counts is what a failover did to acknowledged writes and to reads.
type counts struct {
	failovers, acknowledged, failed int
	lagged                          int // lost: the promoted replica had not got them
	two                             int // lost: acknowledged by the old primary beside the new one
	beyond                          int // lost in any other way
	stale                           int
	outage, promotion               time.Duration // the longest
}

func (c counts) String() string {
	return fmt.Sprintf("%d failovers: %d writes acknowledged, %d failed; lost: %d that the promoted replica had not got, %d acknowledged by the old primary beside the new one, %d others; %d stale answers; until the promotion at most %v, without an acknowledgement at most %v",
		c.failovers, c.acknowledged, c.failed, c.lagged, c.two, c.beyond, c.stale, c.promotion.Round(time.Millisecond), c.outage.Round(time.Millisecond))
}

// soon is the time after a failover within which all nodes must know of it.
const soon = 100 * time.Millisecond

// judge adds up a failover. The ledger ends before the next fault. Within the time that
// stalls allow, a busy machine may be the reason for an old answer.
func (c *counts) judge(t *testing.T, l *ledger, p promotion, st *stalls) {
	t.Helper()
	c.failovers++
	c.acknowledged += len(l.writes)
	c.failed += l.failed
	c.outage, c.promotion = max(c.outage, l.outage), max(c.promotion, p.after.Sub(p.fault))
	present := has(t, p.primary, l.newKeys())
	var ruled time.Time // the new primary's first acknowledged write
	for _, w := range l.writes {
		_, survives := present[w.key]
		if survives && w.began.After(p.after) && (ruled.IsZero() || w.ended.Before(ruled)) {
			ruled = w.ended
		}
	}
	if ruled.IsZero() {
		t.Fatal("the new primary acknowledged nothing")
	}
	for _, w := range l.writes {
		_, survives := present[w.key]
		_, was := p.has[w.key]
		switch {
		case w.number > 0 || survives:
		case was:
			c.beyond++
			c.complain(t, "%s was on the new primary, and is gone", w.key)
		case w.ended.Before(p.before):
			c.lagged++
		case w.began.Before(ruled.Add(soon + st.within(ruled, w.began))):
			c.two++
		default:
			c.beyond++
			c.complain(t, "%s began %v after the new primary's first write, was acknowledged, and is lost", w.key, w.began.Sub(ruled))
		}
	}
	c.countStale(t, l, p, ruled, st)
}

// complain fails the test, and logs the first faults.
func (c *counts) complain(t *testing.T, format string, args ...any) {
	t.Helper()
	if c.beyond+c.stale > 5 {
		t.Fail()
		return
	}
	t.Errorf(format, args...)
}

// countStale counts the answers that are older than a value that the new primary had
// before, with soon in between.
func (c *counts) countStale(t *testing.T, l *ledger, p promotion, ruled time.Time, st *stalls) {
	puts := map[string][]written{} // of the new primary, in order
	for _, w := range l.writes {
		if w.number > 0 && w.began.After(p.after) {
			puts[w.key] = append(puts[w.key], w)
		}
	}
	for _, r := range l.reads {
		least, since := 0, p.looked
		fmt.Sscan(p.has[r.key], &least)
		for _, w := range puts[r.key] {
			if w.ended.Before(r.began.Add(-soon)) && w.number > least {
				if least > r.number {
					break // it is stale by an older write already
				}
				least, since = w.number, w.ended
			}
		}
		if since.Before(ruled) {
			since = ruled
		}
		if least > r.number && r.began.After(since.Add(soon+st.within(since, r.began))) {
			c.stale++
			c.complain(t, "node %d served %d of %s, and %d had been written %v before, %v after the failover",
				r.node, r.number, r.key, least, r.began.Sub(since), r.began.Sub(ruled))
		}
	}
}

func (l *ledger) newKeys() []string {
	var keys []string
	for _, w := range l.writes {
		if w.number == 0 {
			keys = append(keys, w.key)
		}
	}
	return keys
}

// has returns the values of those keys that the server has.
func has(t *testing.T, client *redis.Client, keys []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		values, err := client.HMGet(context.Background(), "{cache}:values", keys[:n]...).Result()
		if err != nil {
			t.Fatalf("asking for what is there: %v", err)
		}
		for i, v := range values {
			if text, ok := v.(string); ok {
				found[keys[i]] = text
			}
		}
		keys = keys[n:]
	}
	return found
}

// stalls watches how long this process and the servers stand still, as they may on a busy
// machine: for each server, a loop sends PINGs on a connection of its own. Events take the
// same way. A server that does not answer at all, as after a fault, does not count.
type stalls struct {
	mu  sync.Mutex
	all []stall
}

type stall struct{ from, to time.Time }

func watchStalls(t *testing.T, servers []*redistest.Server) *stalls {
	st := new(stalls)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for _, server := range servers {
		client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: time.Second})
		t.Cleanup(func() { client.Close() })
		running.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			var last time.Time
			for ctx.Err() == nil {
				if client.Ping(ctx).Err() != nil {
					last = time.Time{}
					for range 20 { // a server that is down is tried less often
						<-tick.C
					}
				} else {
					now := time.Now()
					if !last.IsZero() && now.Sub(last) > 15*time.Millisecond {
						st.mu.Lock()
						st.all = append(st.all, stall{last, now})
						st.mu.Unlock()
					}
					last = now
				}
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	return st
}

// within returns the time that a busy machine may add between from and to: three times
// the longest stall, since an event passes three processes or goroutines that may stall.
func (st *stalls) within(from, to time.Time) time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	var longest time.Duration
	for _, s := range st.all {
		if s.from.Before(to) && s.to.After(from) {
			longest = max(longest, s.to.Sub(s.from))
		}
	}
	return 3 * longest
}
