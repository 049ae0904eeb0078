package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// traces shows everything that a probe could change: all keys with their values, the
// unsaved changes that Redis counts, and the bytes for replicas.
func (f *fixture) traces() string {
	f.Helper()
	var b strings.Builder
	keys := f.redis.Keys(f.ctx(), "*").Val()
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprintf(&b, "%s %x\n", key, f.redis.Dump(f.ctx(), key).Val())
	}
	for line := range strings.Lines(f.redis.Info(f.ctx(), "persistence", "replication").Val()) {
		if strings.HasPrefix(line, "rdb_changes_since_last_save") || strings.HasPrefix(line, "master_repl_offset") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestAProbeLeavesNoTrace(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(f *fixture)
	}{
		{"an empty namespace", func(*fixture) {}},
		{"entries", func(f *fixture) { f.apply(create("a", "1"), create("b", "2")); f.fetch("a") }},
		{"an adaptive order", func(f *fixture) { f.switchTo("adaptive"); f.apply(create("a", "1")); f.fetch("a") }},
		{"a full Redis", func(f *fixture) { f.apply(create("a", "1")); f.do("CONFIG", "SET", "maxmemory", "1") }},
		{"another type", func(f *fixture) { f.do("SET", "{cache}:ranks", "mine") }},
		{"a user without a right", func(f *fixture) { f.apply(create("a", "1")); f.do("ACL", "SETUSER", "default", "-hset") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			c.set(f)
			before := f.traces()
			for range 3 {
				f.store.Probe(f.ctx(), 0)
			}
			if after := f.traces(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestAProbeAnswersAsTrafficDoes(t *testing.T) {
	sound := store.Cause("")
	for _, c := range []struct {
		name          string
		set           func(f *fixture)
		reads, writes store.Cause
	}{
		{"nothing is wrong", func(*fixture) {}, sound, sound},
		{"another type under values", func(f *fixture) { f.do("SET", "{cache}:values", "mine") }, store.WrongType, store.WrongType},
		{"another type under meta", func(f *fixture) { f.do("SET", "{cache}:meta", "mine") }, store.WrongType, store.WrongType},
		{"another type under ranks", func(f *fixture) { f.do("SET", "{cache}:ranks", "mine") }, store.WrongType, store.WrongType},
		{"another type under state", func(f *fixture) { f.do("SET", "{cache}:state", "mine") }, store.WrongType, store.WrongType},
		{"an unknown policy", func(f *fixture) { f.do("HSET", "{cache}:state", "eviction", "of-tomorrow") }, store.UnknownEviction, store.UnknownEviction},
		{"another layout", func(f *fixture) { f.do("HSET", "{cache}:state", "layout", "99") }, store.UnknownLayout, store.UnknownLayout},
		{"a read that is forbidden", func(f *fixture) { f.do("ACL", "SETUSER", "default", "-hmget") }, store.Permission, store.Permission},
		{"a record that is forbidden", func(f *fixture) { f.do("ACL", "SETUSER", "default", "-set") }, sound, store.Permission},
		{"a raise that is forbidden", func(f *fixture) { f.do("ACL", "SETUSER", "default", "-zadd") }, sound, store.Permission},
		{"an eviction that is forbidden", func(f *fixture) { f.do("ACL", "SETUSER", "default", "-zremrangebyrank") }, sound, store.Permission},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			f.limits.MaxKeys = 1
			f.apply(create("a", "1"))
			c.set(f)
			health := f.store.Probe(f.ctx(), 0)
			if store.CauseOf(health.Reads) != c.reads || store.CauseOf(health.Writes) != c.writes {
				t.Errorf("reads: %v; writes: %v", health.Reads, health.Writes)
			}
			// The fetch of an entry with a rank needs every right that a fetch may need.
			_, fetch := f.store.Fetch(f.ctx(), []string{"a"}, store.AnyRoom)
			_, apply := f.store.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("b", "2")}})
			if store.CauseOf(fetch) != c.reads || store.CauseOf(apply) != c.writes {
				t.Errorf("a fetch: %v; a batch: %v", fetch, apply)
			}
		})
	}
}

func TestInvalidNumbersInTheStateBreakNoBrowsing(t *testing.T) {
	for _, garbage := range []string{"abc", "nan", "inf", "-inf", "-5", "1e300", "9223372036854775808", ""} {
		t.Run(garbage, func(t *testing.T) {
			f := newFixture(t)
			f.apply(create("a", "1"))
			for _, field := range []string{"head", "max_keys", "max_bytes"} {
				f.do("HSET", "{cache}:state", field, garbage)
			}
			size, err := f.store.Size(f.ctx())
			if err != nil || size.Keys != 1 || size.Bytes != 0 || size.Limits != (store.Limits{Eviction: "rank"}) {
				t.Errorf("size %+v, %v", size, err)
			}
			page, err := f.store.Page(f.ctx(), "", 10, store.Next)
			if err != nil || len(page.Entries) != 1 {
				t.Errorf("page %+v, %v", page, err)
			}
		})
	}
}
