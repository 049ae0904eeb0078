package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var lifeTests = []test{
	{"a new store is empty", func(f *fixture) {
		if got := f.fetch("a", "b"); got.Entries[0] != nil || got.Entries[1] != nil {
			f.Error("entries in a new store")
		}
		if a := f.apply(); a.Keys != 0 || a.Bytes != 0 || a.Over {
			f.Errorf("%+v", a)
		}
		f.wantKeys("stored", f.order())
	}},

	{"nothing happens once the context is done", func(f *fixture) {
		f.write(create("k", "v"), store.Created)
		before := f.inspect()
		canceled, cancel := context.WithTimeout(f.Context(), time.Minute)
		cancel()
		expired, cancel := context.WithDeadline(f.Context(), time.Unix(0, 0))
		defer cancel()
		for _, ctx := range []context.Context{canceled, expired} {
			if _, err := f.Store.Fetch(ctx, []string{"k"}, store.AnyRoom); !errors.Is(err, store.ErrUnavailable) {
				f.Errorf("fetching: %v", err)
			}
			_, err := f.Store.Apply(ctx, store.Batch{Writes: []store.Write{del("k")}, Limits: f.limits})
			if !errors.Is(err, store.ErrUnavailable) {
				f.Errorf("applying: %v", err)
			}
		}
		f.sameRows(before)
	}},

	{"every call after Close returns ErrClosed", func(f *fixture) {
		f.write(create("k", "v"), store.Created)
		if err := f.Store.Close(); err != nil {
			f.Fatal(err)
		}
		if _, err := f.Store.Fetch(f.ctx(), []string{"k"}, store.AnyRoom); !errors.Is(err, store.ErrClosed) {
			f.Errorf("fetching: %v", err)
		}
		_, err := f.Store.Apply(f.ctx(), store.Batch{Writes: []store.Write{del("k")}, Limits: f.limits})
		if !errors.Is(err, store.ErrClosed) {
			f.Errorf("applying: %v", err)
		}
		if err := f.Store.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			f.Errorf("closing again: %v", err)
		}
	}},

	{"many goroutines never exceed the capacity and never share a version", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 5, MaxBytes: 60, Eviction: f.limits.Eviction})
		var mu sync.Mutex
		seen := map[string]string{}
		f.together(8, func(id int) error {
			for i := range 60 {
				key := fmt.Sprintf("k%d", (i*7+id)%12)
				writes := []store.Write{create(key, key), put(key, key), del(key)}[i%3 : i%3+1]
				writes = append(writes, create(key+"+", key+"+"))
				a, err := f.Store.Apply(f.ctx(), store.Batch{Writes: writes, Limits: f.limits})
				if err != nil {
					return err
				}
				if a.Keys > 5 || a.Bytes > 60 || a.Over {
					return fmt.Errorf("%d keys, %d bytes, over %v", a.Keys, a.Bytes, a.Over)
				}
				mu.Lock()
				for _, res := range a.Results {
					if res.Outcome > store.Deleted {
						continue
					}
					if other, ok := seen[res.Version.String()]; ok {
						f.Errorf("version %s for %s and for %s", res.Version, other, key)
					}
					seen[res.Version.String()] = key
				}
				mu.Unlock()

				got, err := f.Store.Fetch(f.ctx(), []string{key, key + "+"}, store.AnyRoom)
				if err != nil {
					return err
				}
				for j, e := range got.Entries {
					if e == nil {
						continue
					}
					if want := key + "+"[:j]; string(e.Data) != want {
						return fmt.Errorf("%q under %q", e.Data, want)
					}
					if e.Version.Number > got.Number {
						return fmt.Errorf("a fetch as of %d shows version %s", got.Number, e.Version)
					}
				}
			}
			return nil
		})
		if n := len(f.inspect()); n > 5 {
			f.Errorf("%d keys", n)
		}
	}},

	{"rank: no raise is lost among many goroutines", func(f *fixture) {
		f.apply(create("k", "v"))
		f.together(8, func(int) error {
			for range 50 {
				if _, err := f.Store.Fetch(f.ctx(), []string{"k"}, store.AnyRoom); err != nil {
					return err
				}
			}
			return nil
		})
		if s := f.score("k"); s != 400 {
			f.Errorf("score %v after 400 fetches", s)
		}
	}},

	{"one of many creates of one key wins", func(f *fixture) {
		f.apply()
		var mu sync.Mutex
		outcomes := map[store.Outcome]int{}
		f.together(16, func(id int) error {
			w := create("k", fmt.Sprint(id))
			a, err := f.Store.Apply(f.ctx(), store.Batch{Writes: []store.Write{w}, Limits: f.limits})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[a.Results[0].Outcome]++
			return nil
		})
		if outcomes[store.Created] != 1 || outcomes[store.Conflict] != 15 {
			f.Errorf("outcomes %v", outcomes)
		}
	}},
}

// together runs do in n goroutines, and waits for all.
func (f *fixture) together(n int, do func(id int) error) {
	f.Helper()
	var wg sync.WaitGroup
	for id := range n {
		wg.Go(func() {
			if err := do(id); err != nil {
				f.Errorf("goroutine %d: %v", id, err)
			}
		})
	}
	wg.Wait()
}
