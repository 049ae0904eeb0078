package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// between runs change between the script of a fetch and the reading of its values.
type between struct {
	change func()
	done   int
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) == 2 && cmds[0].Name() == "hmget" {
			b.done++
			b.change()
		}
		return next(ctx, cmds)
	}
}

func TestLargeValuesAreThoseOfTheFetchThoughTheyChangeMeanwhile(t *testing.T) {
	large := strings.Repeat("v", largeFetch/2)
	for name, change := range map[string]func(f *fixture){
		"nothing":              func(*fixture) {},
		"a replaced value":     func(f *fixture) { f.apply(put("k1", "new")) },
		"a deleted key":        func(f *fixture) { f.apply(remove("k1")) },
		"a key created anew":   func(f *fixture) { f.apply(remove("k1"), create("k1", large)) },
		"an absent key is set": func(f *fixture) { f.apply(create("none", large)) },
		"an emptied namespace": func(f *fixture) { f.do("FLUSHALL") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			var writes []store.Write
			for i := range 5 {
				writes = append(writes, create(fmt.Sprint("k", i), large))
			}
			f.apply(writes...)
			b := &between{change: func() { change(f) }}
			s, _ := f.open(f.server.URL())
			p, err := s.current(f.ctx())
			if err != nil {
				t.Fatal(err)
			}
			p.client.AddHook(b)
			got, err := s.Fetch(f.ctx(), []string{"k0", "none", "k1", "k2", "k3"}, store.AnyRoom, store.Use{Key: "k4", Count: 3})
			if err != nil || b.done != 1 {
				t.Fatalf("%v, read directly %d times", err, b.done)
			}
			now := f.fetch("k0", "none", "k1", "k2", "k3")
			if got.Number != now.Number || got.Epoch != now.Epoch {
				t.Errorf("number %d of %s, now %d of %s", got.Number, got.Epoch, now.Number, now.Epoch)
			}
			for i, e := range got.Entries {
				want := now.Entries[i]
				if (e == nil) != (want == nil) || e != nil && (string(e.Data) != string(want.Data) || e.Version != want.Version) {
					t.Errorf("entry %d is not that of its version", i)
				}
			}
			if rank := f.rank("k4"); name != "an emptied namespace" && rank != 3 {
				t.Errorf("k4 has the rank %v", rank)
			}
			if rank := f.rank("k0"); name != "an emptied namespace" && rank != 2 {
				t.Errorf("k0 has the rank %v after two fetches", rank)
			}
		})
	}
}

func TestALargeFetchStopsWhereThereIsNoRoom(t *testing.T) {
	f := newFixture(t)
	large := strings.Repeat("v", largeFetch)
	f.apply(create("a", large), create("b", large), create("c", large))
	got, err := f.store.Fetch(f.ctx(), []string{"a", "b", "c"}, store.Room{Enough: 2 * largeFetch, Most: 2 * largeFetch})
	if err != nil || len(got.Entries) != 2 || len(got.Entries[1].Data) != largeFetch {
		t.Fatalf("%d entries, %v", len(got.Entries), err)
	}
	if rank := f.rank("c"); rank != 0 {
		t.Errorf("c has the rank %v, and had no room", rank)
	}
}
