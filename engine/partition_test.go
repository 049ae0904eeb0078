package engine_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// partOf is where the partitions of these tests have a key.
func partOf(n int) func(key string) int {
	return func(key string) int {
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		return int(h.Sum32() % uint32(n))
	}
}

// spread is an engine over several scripted stores.
type spread struct {
	*engine.Engine
	stores []*scripted
	refuse error // by Locate
}

func openSpread(t *testing.T, n int, s engine.Settings) *spread {
	t.Helper()
	var sp spread
	p := engine.Partitions{
		Locate: func(context.Context, bool) (func(string) int, error) { return partOf(n), sp.refuse },
		Close: func() error {
			var errs []error
			for _, st := range sp.stores {
				errs = append(errs, st.Close())
			}
			return errors.Join(errs...)
		},
	}
	for range n {
		st := newScripted()
		sp.stores = append(sp.stores, st)
		p.Stores = append(p.Stores, st)
	}
	sp.Engine = engine.NewPartitioned(p, s, engine.Options{})
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return &sp
}

// fill creates keys in as many calls at once.
func (sp *spread) fill(t *testing.T, keys []string) {
	t.Helper()
	var creating sync.WaitGroup
	for _, key := range keys {
		creating.Go(func() { create(t, sp.Engine, key, "v"+key) })
	}
	creating.Wait()
}

func numbered(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return keys
}

func TestKeysAreSpreadOverPartitions(t *testing.T) {
	s := patient()
	s.Limits = store.Limits{MaxKeys: 402, MaxBytes: 80_001, Eviction: "rank"}
	sp := openSpread(t, 4, s)
	keys := numbered("k", 60)
	sp.fill(t, keys)
	var maxKeys int
	var maxBytes int64
	for i, st := range sp.stores {
		size, err := st.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		maxKeys, maxBytes = maxKeys+size.Limits.MaxKeys, maxBytes+size.Limits.MaxBytes
		if size.Limits.MaxKeys < 100 || size.Limits.MaxKeys > 101 || size.Limits.MaxBytes < 20_000 || size.Limits.MaxBytes > 20_001 {
			t.Errorf("partition %d has the share %+v", i, size.Limits)
		}
		want := 0
		for _, key := range keys {
			found, err := st.Look(t.Context(), key)
			if isHere := partOf(4)(key) == i; err != nil || isHere != (found != nil) {
				t.Errorf("partition %d has %s: %v, %v", i, key, found, err)
			} else if isHere {
				want++
			}
		}
		if size.Keys != want {
			t.Errorf("partition %d has %d keys, want %d", i, size.Keys, want)
		}
	}
	if maxKeys != 402 || maxBytes != 80_001 {
		t.Errorf("the shares add up to %d and %d", maxKeys, maxBytes)
	}
	for range 2 { // from the stores, and from the local tier
		for _, key := range keys {
			if got := value(t, sp.Engine, key); got != "v"+key {
				t.Errorf("%s is %s", key, got)
			}
		}
	}
	size, err := sp.Size(t.Context())
	if err != nil || size.Keys != len(keys) || size.Bytes != 9*60 || size.Limits != s.Limits {
		t.Errorf("%+v, %v", size, err)
	}
	if listed, err := sp.Look(t.Context(), keys[7]); err != nil || listed == nil || string(listed.Entry.Data) != "v"+keys[7] {
		t.Errorf("%+v, %v", listed, err)
	}
	if st := sp.Stats(); st.Fetches.Calls == 0 || st.Applies.Calls == 0 || st.Local.Entries != len(keys) || st.QueueJobs != 0 {
		t.Errorf("%+v", st)
	}
	states := sp.Partitions(t.Context())
	sum := 0
	for _, state := range states {
		sum += state.Size.Keys
		if state.Err != nil || state.Health != (store.Health{}) {
			t.Errorf("%+v", state)
		}
	}
	if len(states) != 4 || sum != len(keys) {
		t.Errorf("%d states of %d keys", len(states), sum)
	}
}

// Each entry is on one page, in an order that holds within each partition.
func TestPagesOfPartitionsAreMerged(t *testing.T) {
	sp := openSpread(t, 3, patient())
	keys := numbered("k", 50)
	sp.fill(t, keys)
	for i, key := range keys {
		for range i % 4 {
			if _, err := sp.Get(t.Context(), key, engine.Read{NoCache: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, order := range []store.Order{store.Next, store.Valued} {
		for _, n := range []int{1, 7, 50, 1000} {
			var got []store.Listed
			after := store.Cursor("")
			for pages := 0; ; pages++ {
				page, err := sp.Page(t.Context(), after, n, order)
				if err != nil || len(page.Entries) > n || pages > len(keys)+1 {
					t.Fatalf("page %d: %d entries, %v", pages, len(page.Entries), err)
				}
				got = append(got, page.Entries...)
				if after = page.Next; after == "" {
					break
				}
			}
			var names []string
			for i, l := range got {
				names = append(names, l.Key)
				if i > 0 && (got[i-1].Rank > l.Rank) == (order == store.Next) && got[i-1].Rank != l.Rank {
					t.Errorf("%s with rank %v comes after %v", l.Key, l.Rank, got[i-1].Rank)
				}
			}
			slices.Sort(names)
			if !slices.Equal(names, keys) {
				t.Errorf("pages of %d: %d entries: %v", n, len(names), names)
			}
		}
	}
	for _, bad := range []store.Cursor{"x", "a.b", "a.b.c", "-.-"} {
		if _, err := sp.Page(t.Context(), bad, 10, store.Next); !errors.Is(err, store.ErrCursor) {
			t.Errorf("the cursor %q: %v", bad, err)
		}
	}
}

func TestManyKeysOfPartitionsAreReadAtOnce(t *testing.T) {
	sp := openSpread(t, 4, patient())
	keys := numbered("k", 40)
	sp.fill(t, keys)
	answers, err := sp.GetMany(t.Context(), append(keys, "absent"), engine.Read{}, store.AnyRoom)
	if err != nil || len(answers) != 41 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, key := range keys {
		if got := read(answers[i]); got != "v"+key {
			t.Errorf("%s is %s", key, got)
		}
	}
	if answers[40].Entry != nil {
		t.Error("there is an absent key")
	}
	for i, st := range sp.stores {
		if n := st.fetchCount(); n != 1 {
			t.Errorf("%d fetches from partition %d", n, i)
		}
	}
	// With little room, steps answer the keys in their order, and end.
	var got []string
	room := store.Room{Enough: 16, Most: 16}
	for rest := keys; len(rest) > 0; {
		answers, err := sp.GetMany(t.Context(), rest, engine.Read{NoCache: true}, room)
		if err != nil || len(answers) == 0 {
			t.Fatalf("%d answers, %v", len(answers), err)
		}
		sum := 0
		for i := range answers {
			got = append(got, read(answers[i]))
			sum += len(answers[i].Entry.Data)
		}
		if sum > 16 {
			t.Errorf("%d bytes in a step", sum)
		}
		rest = rest[len(answers):]
	}
	for i, key := range keys {
		if got[i] != "v"+key {
			t.Errorf("%s is %s", key, got[i])
		}
	}
}

// A failing partition answers for its own keys only.
func TestAPartitionFailsAlone(t *testing.T) {
	sp := openSpread(t, 3, patient())
	keys := numbered("k", 30)
	sp.fill(t, keys)
	broken := fmt.Errorf("%w: gone", store.ErrUnavailable)
	sp.stores[1].set(func() { sp.stores[1].beforeFetch = func([]string) error { return broken } })
	for _, key := range keys {
		_, err := sp.Get(t.Context(), key, engine.Read{})
		if wrong := partOf(3)(key) == 1; wrong != errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := sp.GetMany(t.Context(), keys, engine.Read{}, store.AnyRoom); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("many: %v", err)
	}
}

// The queue's bounds are those of all partitions together.
func TestPartitionsShareTheQueue(t *testing.T) {
	s := patient()
	s.MaxQueueJobs = 8
	sp := openSpread(t, 3, s)
	gate := make(chan struct{})
	for _, st := range sp.stores {
		st.beforeApply = func(store.Batch) error { <-gate; return nil }
	}
	results := make(chan error, 100)
	for _, key := range numbered("k", 20) {
		go func() {
			_, err := sp.Write(context.Background(), store.Write{Op: store.Create, Key: key, Value: text("v")})
			results <- err
		}()
	}
	for range 12 {
		if err := <-results; !errors.Is(err, engine.ErrQueueFull) {
			t.Errorf("%v, want a full queue", err)
		}
	}
	if st := sp.Stats(); st.QueueJobs != 8 {
		t.Errorf("%d jobs", st.QueueJobs)
	}
	close(gate)
	for range 8 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestAPrefixIsDeletedFromAllPartitions(t *testing.T) {
	sp := openSpread(t, 3, patient())
	sp.fill(t, append(numbered("a/", 30), numbered("b/", 5)...))
	deleted, err := sp.DeletePrefix(t.Context(), "a/")
	size, sizeErr := sp.Size(t.Context())
	if deleted != 30 || size.Keys != 5 || errors.Join(err, sizeErr) != nil {
		t.Errorf("deleted %d, left %d, %v", deleted, size.Keys, errors.Join(err, sizeErr))
	}
}

// Emptying one partition leaves the local entries of the others.
func TestALostPartitionDropsItsOwnLocalEntries(t *testing.T) {
	s := patient()
	s.LocalTTL = time.Hour
	sp := openSpread(t, 3, s)
	keys := numbered("k", 30)
	sp.fill(t, keys)
	for _, key := range keys {
		value(t, sp.Engine, key)
	}
	sp.stores[2].set(func() { sp.stores[2].epoch = "other" })
	probe := slices.IndexFunc(keys, func(key string) bool { return partOf(3)(key) == 2 })
	if _, err := sp.Get(t.Context(), keys[probe], engine.Read{NoCache: true}); err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		_, ok := sp.LookLocal(key)
		if want := partOf(3)(key) != 2 || i == probe; ok != want {
			t.Errorf("%s of partition %d is local: %v", key, partOf(3)(key), ok)
		}
	}
	if !sp.DropLocal(keys[probe]) {
		t.Error("nothing to drop")
	}
	sp.DropAllLocal()
	if n := sp.Stats().Local.Entries; n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// A node that would put keys elsewhere changes nothing, not even limits.
func TestCallsAreRefusedWhilePlacesAreUnknown(t *testing.T) {
	sp := openSpread(t, 3, patient())
	sp.refuse = &store.CausedError{Cause: store.OtherPartitions, Err: store.ErrRefused}
	_, getErr := sp.Get(t.Context(), "k", engine.Read{})
	_, putErr := sp.Write(t.Context(), store.Write{Op: store.Put, Key: "k", Value: text("w")})
	_, manyErr := sp.GetMany(t.Context(), []string{"k", "l"}, engine.Read{}, store.AnyRoom)
	_, lookErr := sp.Look(t.Context(), "k")
	_, sizeErr := sp.Size(t.Context())
	_, pageErr := sp.Page(t.Context(), "", 1, store.Next)
	_, deleteErr := sp.DeletePrefix(t.Context(), "")
	state := sp.Partitions(t.Context())[2]
	for _, err := range []error{
		getErr, putErr, manyErr, lookErr, sizeErr, pageErr, deleteErr, state.Err, state.Health.Reads,
		sp.Probe(t.Context()).Reads, sp.Probe(t.Context()).Writes,
	} {
		if !errors.Is(err, engine.ErrRefused) || store.CauseOf(err) != store.OtherPartitions {
			t.Errorf("%v", err)
		}
	}
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
	for i, st := range sp.stores {
		if len(st.batches) > 0 || len(st.fetches) > 0 {
			t.Errorf("partition %d got %d batches and %d fetches", i, len(st.batches), len(st.fetches))
		}
	}
}

// An entry in a partition where its key does not belong can be deleted, too.
func TestAPrefixIsDeletedWhereItIs(t *testing.T) {
	sp := openSpread(t, 3, patient())
	sp.fill(t, []string{"a"})
	for _, st := range sp.stores {
		batch := store.Batch{Writes: []store.Write{{Op: store.Put, Key: "a", Value: text("old")}}, Limits: store.Limits{MaxKeys: 9, Eviction: "rank"}}
		if _, err := st.Store.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if deleted, err := sp.DeletePrefix(t.Context(), ""); deleted != 3 || err != nil {
		t.Errorf("deleted %d, %v", deleted, err)
	}
}
