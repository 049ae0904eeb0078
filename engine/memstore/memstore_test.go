package memstore

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(*testing.T) storetest.Harness {
	s := New()
	return storetest.Harness{
		Store:   s,
		Inspect: func() ([]storetest.Ranked, error) { return inspect(s) },
		Kept: func() (storetest.Kept, error) {
			o := s.order
			if g, h := o.ghosts, o.shadow; g.order.Len() != len(g.numbers) || h.order.Len() != len(h.numbers) {
				return storetest.Kept{}, fmt.Errorf("%d and %d notes, in order %d and %d", len(g.numbers), len(h.numbers), g.order.Len(), h.order.Len())
			}
			return storetest.Kept{State: o.state, Ghosts: o.ghosts.numbers, Shadow: o.shadow.numbers}, nil
		},
		Now:     func() time.Time { return s.began.Add(s.now()) },
		Advance: func(d time.Duration) { s.began = s.began.Add(-d) },
	}
}

func TestConformance(t *testing.T) {
	storetest.AddFIFO(t)
	storetest.Run(t, open)
}

func TestModel(t *testing.T) {
	storetest.AddFIFO(t)
	storetest.RunModel(t, open)
}

// inspect lists a store and checks that its structures agree.
func inspect(s *Store) ([]storetest.Ranked, error) {
	var rows []storetest.Ranked
	var size int64
	expiring := 0
	for _, r := range s.Order(-1) {
		row := storetest.Ranked{Key: r.Key, Score: r.Score, Insertion: r.Insertion, Entry: *r.Entry}
		if it := s.items[r.Key]; it != nil && it.expires > 0 {
			row.Expires = s.began.Add(it.expires)
			if same, ok := s.expiring.Get(it); !ok || same != it {
				return nil, fmt.Errorf("%q expires, and is not listed", r.Key)
			}
			expiring++
		}
		rows = append(rows, row)
		size += int64(len(r.Key) + len(r.Entry.Data))
		if it := s.items[r.Key]; it == nil || it.entry != r.Entry {
			return nil, fmt.Errorf("%q is in the order, and not in the map", r.Key)
		}
		if r.Insertion > r.Entry.Version.Number || r.Entry.Version.Number > s.number {
			return nil, fmt.Errorf("%q: created by %d, version %s, last write %d", r.Key, r.Insertion, r.Entry.Version, s.number)
		}
	}
	if len(rows) != len(s.items) || s.order.tree.Len() != len(s.items) {
		return nil, fmt.Errorf("%d items, %d in the order", len(s.items), len(rows))
	}
	if expiring != s.expiring.Len() {
		return nil, fmt.Errorf("%d expire, %d are listed", expiring, s.expiring.Len())
	}
	if size != s.bytes {
		return nil, fmt.Errorf("%d bytes, counted as %d", size, s.bytes)
	}
	return rows, nil
}

func TestTheStoreKeepsItsOwnCopyOfAValue(t *testing.T) {
	s := New()
	defer s.Close()
	data := []byte("before")
	limits := store.Limits{MaxKeys: 1, Eviction: store.Rank.Name}
	for _, op := range []store.Op{store.Create, store.Put} {
		copy(data, "before")
		b := store.Batch{Limits: limits, Writes: []store.Write{{Op: op, Key: "k", Value: store.Value{Data: data}}}}
		if _, err := s.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		copy(data, "after!")
		got, err := s.Fetch(t.Context(), []string{"k"}, store.AnyRoom)
		if err != nil || !bytes.Equal(got.Entries[0].Data, []byte("before")) {
			t.Errorf("%c: %v, %v", op, got.Entries, err)
		}
	}
}

func TestAnEntryThatWasFetchedStaysAsItWas(t *testing.T) {
	s := New()
	defer s.Close()
	limits := store.Limits{MaxKeys: 1, Eviction: store.Rank.Name}
	apply := func(w store.Write) {
		if _, err := s.Apply(t.Context(), store.Batch{Limits: limits, Writes: []store.Write{w}}); err != nil {
			t.Fatal(err)
		}
	}
	apply(store.Write{Op: store.Create, Key: "k", Value: store.Value{Data: []byte("1")}})
	got, err := s.Fetch(t.Context(), []string{"k"}, store.AnyRoom)
	if err != nil {
		t.Fatal(err)
	}
	e := *got.Entries[0]
	apply(store.Write{Op: store.Put, Key: "k", Value: store.Value{Data: []byte("2")}})
	apply(store.Write{Op: store.Delete, Key: "k"})
	if now := got.Entries[0]; string(now.Data) != "1" || now.Version != e.Version {
		t.Errorf("became %q, version %s", now.Data, now.Version)
	}
}

func TestOrderListsAsManyAsAsked(t *testing.T) {
	s := New()
	limits := store.Limits{MaxKeys: 9, Eviction: store.Rank.Name}
	writes := make([]store.Write, 3)
	for i := range writes {
		writes[i] = store.Write{Op: store.Create, Key: fmt.Sprint(i)}
	}
	if _, err := s.Apply(t.Context(), store.Batch{Limits: limits, Writes: writes}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ n, want int }{{-1, 3}, {0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 3}} {
		rows := s.Order(tt.n)
		if len(rows) != tt.want {
			t.Errorf("%d rows of %d asked for, want %d", len(rows), tt.n, tt.want)
		}
		for i, r := range rows {
			if r.Key != fmt.Sprint(i) {
				t.Errorf("row %d is %q", i, r.Key)
			}
		}
	}
	s.Close()
	if rows := s.Order(-1); rows != nil {
		t.Errorf("a closed store lists %v", rows)
	}
}

func TestLimitsThatMakeNoSenseAreErrors(t *testing.T) {
	s := New()
	defer s.Close()
	for _, l := range []store.Limits{
		{},
		{MaxKeys: 0, Eviction: store.Rank.Name},
		{MaxKeys: 1, MaxBytes: -1, Eviction: store.Rank.Name},
	} {
		if _, err := s.Apply(t.Context(), store.Batch{Limits: l}); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
}
