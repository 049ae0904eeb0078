package storetest

import (
	"math"
	"slices"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var roomTests = []test{
	{"a fetch brings the values that have room, and counts nothing else as a use", func(f *fixture) {
		ten := strings.Repeat("v", 10)
		for _, tt := range []struct {
			room store.Room
			keys string
			want int
		}{
			{store.AnyRoom, "a b c", 3},
			{store.Room{Enough: 30, Most: 30}, "a b c", 3},
			{store.Room{Enough: 29, Most: 30}, "a b c", 2},
			{store.Room{Enough: 30, Most: 29}, "a b c", 2},
			{store.Room{Enough: 20, Most: math.MaxInt64}, "a none b c", 3},
			{store.Room{Enough: 1, Most: math.MaxInt64}, "none a none2 b", 3},
			{store.Room{Enough: 0, Most: 10}, "a b", 1},
			{store.Room{Enough: 0, Most: 9}, "none a", 1},
			{store.Room{Enough: 5, Most: 9}, "a b", 0},
			{store.Room{}, "a", 0},
			{store.Room{}, "none", 1},
		} {
			f := &fixture{T: f.T, open: f.open, Harness: opened(f.T, f.open), limits: f.limits}
			f.apply(create("a", ten), create("b", ten), create("c", ten))
			before := f.inspect()
			keys := strings.Fields(tt.keys)
			got, err := f.Store.Fetch(f.ctx(), keys, tt.room)
			if err != nil {
				f.Fatal(err)
			}
			if len(got.Entries) != tt.want {
				f.Errorf("%+v of %s: %d entries, want %d", tt.room, tt.keys, len(got.Entries), tt.want)
				continue
			}
			for i, e := range got.Entries {
				if exists := len(keys[i]) == 1; exists != (e != nil) || exists && string(e.Data) != ten {
					f.Errorf("%+v of %s: entry %d is %v", tt.room, tt.keys, i, e)
				}
			}
			for _, r := range f.inspect() {
				wasUsed := slices.Contains(keys[:tt.want], r.Key)
				i := slices.IndexFunc(before, func(b Ranked) bool { return b.Key == r.Key })
				if wasUsed == (before[i].Score == r.Score) {
					f.Errorf("%+v of %s: the score of %s went from %v to %v", tt.room, tt.keys, r.Key, before[i].Score, r.Score)
				}
			}
		}
	}},

	{"replaced and restored values count with their own sizes", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "1"), restore("c", strings.Repeat("v", 100), 1))
		f.apply(put("a", strings.Repeat("v", 50)))
		room := store.Room{Enough: 60, Most: 60}
		for keys, want := range map[string]int{"b a c": 2, "c a b": 0, "a b": 2} {
			got, err := f.Store.Fetch(f.ctx(), strings.Fields(keys), room)
			if err != nil || len(got.Entries) != want {
				f.Errorf("%s: %d entries, want %d; %v", keys, len(got.Entries), want, err)
			}
		}
	}},
}
