package redisstore

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// documented returns the command of docs/redis.md that begins so. It may go on for several
// lines.
func documented(t *testing.T, begins string) []any {
	t.Helper()
	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(page), begins)
	if !found {
		t.Fatalf("docs/redis.md has no command that begins with %q", begins)
	}
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "\\\n", ""), "\n")
	begins = begins[strings.Index(begins, "ACL"):]
	var args []any
	for _, word := range strings.Fields(begins + line) {
		args = append(args, strings.Trim(word, "'"))
	}
	return args
}

// TestTheUserOfTheDocumentationMayDoAllThatIsNeeded runs the ACL SETUSER line of
// docs/redis.md, and all calls of the store as that user.
func TestTheUserOfTheDocumentationMayDoAllThatIsNeeded(t *testing.T) {
	args := documented(t, "$ redis-cli -p 6390 ACL SETUSER ")
	f := newFixture(t)
	f.do(args...)
	user, password := args[2].(string), strings.TrimPrefix(args[4].(string), ">")
	var logs interface{ Len() int }
	f.store, logs = f.open("redis://" + user + ":" + password + "@" + f.server.Addr + "/0")
	if err := f.store.Check(f.ctx()); err != nil {
		t.Error(err)
	}
	f.limits.MaxKeys = 3
	f.apply(create("a", "1"), create("b", "2"), create("c", "3"), create("d", "4"), put("b", "5"), remove("b"), put("c", "6"))
	f.fetch("c", "d")
	// Entries that expire: removed by a write, by a step, and after the list was lost.
	f.limits.MaxKeys = 6
	f.restarted()
	f.apply(lasting(create("x", "1"), time.Hour), lasting(create("y", "1"), time.Hour), lasting(create("z", "1"), 2*time.Hour))
	f.advance(time.Hour)
	f.fetch("x", "c")
	f.apply(create("x", "2"))
	f.do("DEL", "{cache}:expiries")
	f.advance(time.Hour)
	f.settle()
	f.limits.MaxKeys = 3
	f.restarted()
	f.browsed()
	if _, _, err := f.store.Nodes(f.ctx()); err != nil {
		t.Error(err)
	}
	f.observe()
	for _, policy := range []string{"lru", "adaptive"} {
		f.switchTo(policy)
		for i := range 12 {
			f.use(fmt.Sprint("k", i%5), "c")
		}
		f.apply(remove("k1"), put("k2", "longer"))
	}
	f.switchTo("rank")
	// Repairs: a value without meta, and then a missing order.
	f.do("HSET", "{cache}:values", "foreign", "v")
	f.do("DEL", "{cache}:ranks")
	f.apply(create("e", "5"), create("g", "6"))
	f.settle()
	f.limits.MaxBytes = 4
	if _, err := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, SetLimits: true, Writes: []store.Write{put("g", "7")}}); err != nil {
		t.Error(err)
	}
	if logs.Len() > 1+5 { // those about repairs
		t.Errorf("%d warnings", logs.Len())
	}
	if denied := f.do("ACL", "LOG").([]any); len(denied) != 0 {
		t.Errorf("denied: %v", denied)
	}
}

// asUser makes the calls of the store that need other rights behind Sentinels and on a
// cluster, on the servers that the user may use.
func (f *fixture) asUser(servers []*redistest.Server, url string) {
	f.Helper()
	var logs interface{ Len() int }
	f.store, logs = f.open(url)
	if err := f.store.Check(f.ctx()); err != nil {
		f.Error(err)
	}
	f.apply(create("a", "1"), put("b", "2"), remove("a"))
	f.fetch("a", "b")
	f.browsed()
	if _, _, err := f.store.Nodes(f.ctx()); err != nil {
		f.Error(err)
	}
	f.observeAt(url)
	if logs.Len() > 0 {
		f.Errorf("%d warnings", logs.Len())
	}
	for _, s := range servers {
		denied, err := s.Client().Do(f.ctx(), "ACL", "LOG").Slice()
		if err != nil || len(denied) != 0 {
			f.Errorf("denied: %v, %v", denied, err)
		}
	}
}

func (f *fixture) allow(servers []*redistest.Server, commands ...[]any) {
	f.Helper()
	for _, s := range servers {
		for _, c := range commands {
			if err := s.Client().Do(f.ctx(), c...).Err(); err != nil {
				f.Fatalf("%v: %v", c, err)
			}
		}
	}
}

func TestTheUsersOfTheDocumentationMayDoAllThatSentinelNeeds(t *testing.T) {
	g := redistest.StartGuarded(t)
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	f.allow(g.Servers, documented(t, "$ redis-cli -p 6390 ACL SETUSER "), documented(t, "ACL SETUSER cache +role"))
	f.allow(g.Sentinels, documented(t, "ACL SETUSER cache on '>password' resetkeys resetchannels '&+switch"))
	_, hosts, _ := strings.Cut(g.URL(), "@")
	f.asUser(append(g.Sentinels, g.Servers...), "redis+sentinel://cache:password@"+hosts+"?sentinel_username=cache&sentinel_password=password")
}

func TestTheUserOfTheDocumentationMayDoAllThatAClusterNeeds(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	f := &fixture{T: t, limits: store.Limits{MaxKeys: 100, Eviction: "rank"}}
	f.allow(c.Nodes, documented(t, "$ redis-cli -p 6390 ACL SETUSER "), documented(t, "ACL SETUSER cache +exists"))
	_, hosts, _ := strings.Cut(c.URL(), "//")
	f.asUser(c.Nodes, "redis+cluster://cache:password@"+hosts)
}
