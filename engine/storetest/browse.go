package storetest

import "github.com/redis-proxy/caddy-redis-proxy/engine/store"

var browseTests = []test{
	{"the size is what is stored and what limits it", func(f *fixture) {
		if got := f.size(); got != (store.Size{}) {
			f.Errorf("before the first batch: %+v", got)
		}
		f.setLimits(store.Limits{MaxKeys: 3, MaxBytes: 1000, Eviction: store.Rank.Name})
		f.apply(create("a", "1"), create("b", "22"), put("a", "333"))
		want := store.Size{Keys: 2, Bytes: 7, Limits: f.limits, Number: 3}
		if got := f.size(); got != want {
			f.Errorf("%+v, want %+v", got, want)
		}
		f.apply(del("a"), del("b"))
		want = store.Size{Limits: f.limits, Number: 5}
		if got := f.size(); got != want {
			f.Errorf("of an emptied store: %+v, want %+v", got, want)
		}
	}},
}

func (f *fixture) size() store.Size {
	f.Helper()
	size, err := f.Store.Size(f.ctx())
	if err != nil {
		f.Fatal(err)
	}
	return size
}
