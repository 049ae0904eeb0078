package main

import (
	"context"

	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// A replay has no clock. At 100 requests a second, these are the numbers of requests within
// local_ttl, and between two calls that tell the store of local hits.
const (
	frontTTL   = 3000
	frontPause = 100
)

// fronted is a store with a simple local tier in front. The tier answers for keys that were
// fetched less than frontTTL requests ago and not evicted since.
type fronted struct {
	direct
	tells bool // the store is told of local hits

	at      int            // the number of the request
	fetched map[string]int // the request that fetched a key
	hits    []store.Use
	places  map[string]int // in hits
	told    int            // the request that last told hits

	reads, found int // of the store
}

func newFronted(l store.Limits, tells bool) *fronted {
	return &fronted{
		direct: direct{memstore.New(), l},
		tells:  tells, fetched: map[string]int{}, places: map[string]int{},
	}
}

func (f *fronted) read(ctx context.Context, key string) (bool, error) {
	f.at++
	if at, ok := f.fetched[key]; ok && f.at-at < frontTTL {
		f.hit(key)
		return true, nil
	}
	got, err := f.Fetch(ctx, []string{key}, store.AnyRoom, f.due()...)
	if err != nil {
		return false, err
	}
	f.reads++
	if got.Entries[0] == nil {
		delete(f.fetched, key)
		return false, nil
	}
	f.found++
	f.fetched[key] = f.at
	return true, nil
}

func (f *fronted) hit(key string) {
	i, ok := f.places[key]
	if !ok {
		if i = len(f.hits); i == store.MaxBatch {
			return
		}
		f.places[key] = i
		f.hits = append(f.hits, store.Use{Key: key})
	}
	f.hits[i].Count++
}

// due returns the local hits to tell, if the pause is over.
func (f *fronted) due() []store.Use {
	if !f.tells || f.at-f.told < frontPause {
		return nil
	}
	uses := f.hits
	f.hits, f.told = nil, f.at
	clear(f.places)
	return uses
}

func (f *fronted) create(ctx context.Context, key string) error {
	if uses := f.due(); len(uses) > 0 {
		if _, err := f.Fetch(ctx, nil, store.AnyRoom, uses...); err != nil {
			return err
		}
	}
	applied, err := f.apply(ctx, key)
	for _, evicted := range applied.Evicted {
		delete(f.fetched, evicted)
	}
	return err
}

// behindLocal returns our policies behind a local tier, once with and once without being
// told of its hits. The ratio is that of all requests, or of those that reach the store.
func behindLocal(ofStore bool) []*contender {
	var all []*contender
	for _, p := range store.Policies {
		for _, tells := range []bool{false, true} {
			name := p.Name
			if tells {
				name += ", told"
			}
			all = append(all, &contender{name, func(ctx context.Context, t *trace, capacity int) (float64, error) {
				f := newFronted(store.Limits{MaxKeys: capacity, Eviction: p.Name}, tells)
				defer f.Close()
				hits, err := replay(ctx, t, f)
				if ofStore {
					return float64(f.found) / float64(max(f.reads, 1)), err
				}
				return t.ratio(hits), err
			}})
		}
	}
	return all
}
