package redisstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// browsed reads the entries of a fixture's store in every way of browsing.
func (f *fixture) browsed() (store.Size, store.Page, *store.Listed, []string) {
	f.Helper()
	size, err := f.store.Size(f.ctx())
	if err != nil {
		f.Error(err)
	}
	page, err := f.store.Page(f.ctx(), "", 10, store.Next)
	if err != nil {
		f.Error(err)
	}
	listed, err := f.store.Look(f.ctx(), "a")
	if err != nil {
		f.Error(err)
	}
	keys, _, err := f.store.Scan(f.ctx(), "", "", store.MaxBatch)
	if err != nil {
		f.Error(err)
	}
	return size, page, listed, keys
}

func (f *fixture) wantBrowsed() {
	f.Helper()
	size, page, listed, keys := f.browsed()
	if size.Keys != 2 || len(page.Entries) != 2 || listed == nil || string(listed.Entry.Data) != "1" || len(keys) != 2 {
		f.Errorf("%+v, %+v, %+v, %q", size, page, listed, keys)
	}
}

func TestBrowsingWorksWhereNothingCanBeWritten(t *testing.T) {
	t.Run("memory is short", func(t *testing.T) {
		f := newFixture(t)
		f.apply(create("a", "1"), create("b", "2"))
		f.do("CONFIG", "SET", "maxmemory", "1")
		f.wantBrowsed()
	})
	t.Run("a replica", func(t *testing.T) {
		f := newFixture(t)
		f.do("CONFIG", "SET", "repl-diskless-sync-delay", "0") // else it waits for more replicas
		f.apply(create("a", "1"), create("b", "2"))
		host, port, _ := strings.Cut(f.server.Addr, ":")
		replica := redistest.Start(t, "--replicaof", host, port)
		client := replica.Client()
		ctx := f.ctx()
		for client.HLen(ctx, "{cache}:values").Val() < 2 {
			if ctx.Err() != nil {
				t.Fatal("the replica does not follow")
			}
		}
		f.store, _ = f.open(replica.URL())
		f.wantBrowsed()
	})
}

func TestBrowsingSkipsDataOfOtherPrograms(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"), create("b", "2"))
	f.do("ZADD", "{cache}:ranks", "-5", "short", "-4", memberOf(9, "gone"))
	f.do("HSET", "{cache}:values", "foreign", "v")
	page, err := f.store.Page(f.ctx(), "", 3, store.Next)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "a" || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	page, err = f.store.Page(f.ctx(), page.Next, 3, store.Next)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "b" {
		t.Errorf("%+v, %v", page, err)
	}
	listed, err := f.store.Look(f.ctx(), "foreign")
	if err != nil || listed == nil || string(listed.Entry.Data) != "v" || listed.Entry.Version.Number != 0 {
		t.Errorf("%+v, %v", listed, err)
	}
}

func TestANamespaceThatWasEmptiedHasAnotherEpoch(t *testing.T) {
	f := newFixture(t)
	epoch := func(want string) {
		t.Helper()
		if size, page, _, _ := f.browsed(); size.Epoch != want || page.Epoch != want {
			t.Errorf("epochs %q and %q, want %q", size.Epoch, page.Epoch, want)
		}
	}
	epoch("")
	first := f.apply(create("a", "1")).Epoch
	epoch(first)
	f.do("FLUSHALL")
	second := f.apply(create("a", "1")).Epoch
	if epoch(second); first == "" || second == first {
		t.Errorf("%q after %q", second, first)
	}
}

func TestBrowsingEndsInTimeWhenRedisHangs(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.server.Pause()
	defer f.server.Resume()
	begin := time.Now()
	if _, err := f.store.Size(f.within(time.Second)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("after %v", took)
	}
}

func TestCallsThatAreCanceledDoNotMeanThatRedisIsDown(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	for range 2 * tripAfter {
		if _, err := f.store.Look(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if f.logs.Len() != 0 {
		t.Error(f.logs.All())
	}
	if _, err := f.store.Look(f.ctx(), "a"); err != nil {
		t.Error(err)
	}
}

func TestBrowsingRefusesAForeignLayout(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.do("HSET", "{cache}:state", "layout", "99")
	if _, err := f.store.Page(f.ctx(), "", 1, store.Next); !errors.Is(err, store.ErrRefused) {
		t.Errorf("%v", err)
	}
}
