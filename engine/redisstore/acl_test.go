package redisstore

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestTheUserOfTheDocumentationMayDoAllThatIsNeeded runs the ACL SETUSER line of
// docs/redis.md, and all calls of the store as that user.
func TestTheUserOfTheDocumentationMayDoAllThatIsNeeded(t *testing.T) {
	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(page), "$ redis-cli -p 6379 ACL SETUSER ")
	if !found {
		t.Fatal("docs/redis.md has no command that begins with ACL SETUSER")
	}
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "\\\n", ""), "\n")
	args := []any{"ACL", "SETUSER"}
	for _, word := range strings.Fields(line) {
		args = append(args, strings.Trim(word, "'"))
	}

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
	if logs.Len() > 1 { // the one about the repair
		t.Errorf("%d warnings", logs.Len())
	}
	if denied := f.do("ACL", "LOG").([]any); len(denied) != 0 {
		t.Errorf("denied: %v", denied)
	}
}
