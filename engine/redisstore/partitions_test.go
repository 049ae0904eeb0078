package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// partitions opens the namespace of the fixture with n partitions.
func (f *fixture) partitions(n int) *Partitions {
	f.Helper()
	core, logs := observer.New(zap.InfoLevel)
	p := NewPartitions(Config{Target: parse(f.T, f.server.URL()), Namespace: "cache", Logger: zap.New(core)}, n)
	f.Cleanup(func() { _ = p.Close() })
	f.logs = logs
	return p
}

func (f *fixture) locate(p *Partitions) func(key string) int {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	locate, err := p.Locate(ctx, true)
	if err != nil {
		f.Fatal(err)
	}
	return locate
}

// wantRefusal checks that a call fails because of other partitions, with these words.
func wantRefusal(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, store.ErrRefused) || store.CauseOf(err) != store.OtherPartitions {
		t.Fatalf("%v is not refused because of partitions", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestAllKeysOfANamespaceAreInOneSlot(t *testing.T) {
	for _, tag := range []string{"cache", partitionTag("cache", 2, 3)} {
		k := keyspace{tag: tag}
		all := k.scripts("writer")
		for _, name := range []string{"values", "meta", "ranks", "state", "ghosts", "shadow", "expiries"} {
			if !slices.Contains(all, "{"+tag+"}:"+name) {
				t.Errorf("scripts do not declare %s", name)
			}
		}
		for _, key := range all {
			if inBraces, _, _ := strings.Cut(strings.TrimPrefix(key, "{"), "}"); inBraces != tag {
				t.Errorf("%s is in another slot", key)
			}
		}
	}
}

// The slot is the one that Redis itself computes.
func TestPartitionsSpreadOverTheNodesOfACluster(t *testing.T) {
	if got := slotOf("123456789"); got != 0x31C3 { // in the specification of Redis Cluster
		t.Errorf("slot %#x", got)
	}
	for _, nodes := range []int{1, 3, 6, 12} {
		for _, n := range []int{2, 3, 16, 64, MaxPartitions} {
			held := make([]int, nodes)
			seen := make(map[string]bool)
			for i := range n {
				tag := partitionTag("cache", i, n)
				seen[tag] = true
				held[slotOf(tag)*nodes/slots]++
			}
			spare := 0
			if n == MaxPartitions {
				spare = 1 // the slots of a node begin and end within those of a partition
			}
			for _, h := range held {
				if h < n/nodes-spare || h > n/nodes+1+spare {
					t.Errorf("%d partitions over %d nodes: %d", n, nodes, held)
					break
				}
			}
			if len(seen) != n {
				t.Errorf("%d tags for %d partitions", len(seen), n)
			}
		}
	}
}

func TestNodesFindAKeyInTheSamePartition(t *testing.T) {
	const many, n, keys = 8, 16, 16_000
	f := newFixture(t)
	var nodes []*Partitions
	for range many {
		nodes = append(nodes, f.partitions(n))
	}
	locates := make([]func(string) int, many)
	var starting sync.WaitGroup
	for i, p := range nodes {
		starting.Go(func() { locates[i], _ = p.Locate(f.Context(), true) })
	}
	starting.Wait()
	var held [n]int
	for k := range keys {
		key := fmt.Sprint("key", k)
		at := f.locate(nodes[0])(key)
		held[at]++
		for i := range nodes {
			if got := f.locate(nodes[i])(key); got != at {
				t.Fatalf("node %d finds %s in %d, node 0 in %d", i, key, got, at)
			}
		}
	}
	for i, h := range held {
		// The deviation of a fair share is 31; six times that is never seen.
		if h < keys/n-190 || h > keys/n+190 {
			t.Errorf("partition %d has %d keys of %d", i, h, keys)
		}
	}
	// Another namespace has another seed.
	other := NewPartitions(Config{Target: parse(t, f.server.URL()), Namespace: "other", Logger: zap.NewNop()}, n)
	defer other.Close()
	same := 0
	for k := range keys {
		if f.locate(other)(fmt.Sprint("key", k)) == f.locate(nodes[0])(fmt.Sprint("key", k)) {
			same++
		}
	}
	if same > keys/n*2 {
		t.Errorf("%d of %d keys are in the same partition in another namespace", same, keys)
	}
}

func TestAnotherNumberOfPartitionsIsRefused(t *testing.T) {
	write := store.Batch{Writes: []store.Write{create("k", "v")}, Limits: store.Limits{MaxKeys: 10, Eviction: "rank"}}

	f := newFixture(t)
	one := f.partitions(1).Stores()[0]
	if _, err := one.Apply(f.ctx(), write); err != nil {
		t.Fatal(err)
	}
	_, err := f.partitions(4).Locate(f.ctx(), true)
	wantRefusal(t, err, "has partitions 1", "this node has partitions 4", "export")
	if line := f.logs.FilterMessage("the partitions of this namespace cannot be used").Len(); line != 1 {
		t.Errorf("%d lines in the log", line)
	}
	if _, err := one.Apply(f.ctx(), write); err != nil {
		t.Errorf("the refused node disturbed the other: %v", err)
	}

	f = newFixture(t)
	f.locate(f.partitions(4))
	_, err = f.partitions(3).Locate(f.ctx(), true)
	wantRefusal(t, err, "has partitions 4", "this node has partitions 3")
	one = f.partitions(1).Stores()[0]
	_, err = one.Apply(f.ctx(), write)
	wantRefusal(t, err, "has 4 partitions", "export")
	_, err = one.Fetch(f.ctx(), []string{"k"}, store.AnyRoom)
	wantRefusal(t, err, "has 4 partitions")
	wantRefusal(t, one.Probe(f.ctx(), store.InMemory).Reads, "has 4 partitions")
	for has, open := range map[int]string{4: "cache", 0: "unknown"} {
		n, err := CountPartitions(f.ctx(), Config{Target: parse(t, f.server.URL()), Namespace: open, Logger: zap.NewNop()})
		if n != has || err != nil {
			t.Errorf("%s has %d partitions, %v", open, n, err)
		}
	}
}

func TestALostRecordOfPartitionsIsSetAgain(t *testing.T) {
	f := newFixture(t)
	p := f.partitions(4)
	before := f.locate(p)
	if err := f.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if p.checkAgain(t.Context()) {
		t.Error("another record is there")
	}
	again := f.locate(f.partitions(4))
	for k := range 100 {
		if key := fmt.Sprint(k); before(key) != again(key) {
			t.Fatal("a node that came later puts keys elsewhere")
		}
	}
}

func TestPartitionsWithAnotherSeedAreRefusedUntilTheyAreBack(t *testing.T) {
	f := newFixture(t)
	p := f.partitions(4)
	f.locate(p)
	logs := f.logs
	record := f.redis.HGetAll(t.Context(), "{cache}:state").Val()
	if err := f.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.locate(f.partitions(4)) // it knows nothing of the other node
	for range 2 {
		if !p.checkAgain(t.Context()) {
			t.Fatal("the other record was not seen")
		}
	}
	_, err := p.Locate(f.ctx(), true)
	wantRefusal(t, err, "was lost in Redis", "restart")
	if err := f.redis.HSet(t.Context(), "{cache}:state", record).Err(); err != nil {
		t.Fatal(err)
	}
	if p.checkAgain(t.Context()) {
		t.Error("the record is back, and still refused")
	}
	f.locate(p)
	if n := logs.Len(); n != 2 {
		t.Errorf("%d lines in the log, want one at the begin and one at the end", n)
	}
}

// With a new seed, nobody would find the entries that are there.
func TestPartitionsWithEntriesAreNotBegunAnew(t *testing.T) {
	f := newFixture(t)
	p := f.partitions(4)
	f.locate(p)
	write := store.Batch{Writes: []store.Write{create("k", "v")}, Limits: store.Limits{MaxKeys: 10, Eviction: "rank"}}
	if _, err := p.Stores()[2].Apply(f.ctx(), write); err != nil {
		t.Fatal(err)
	}
	if err := f.redis.Del(t.Context(), "{cache}:state").Err(); err != nil {
		t.Fatal(err)
	}
	other := f.partitions(4)
	_, err := other.Locate(f.ctx(), true)
	wantRefusal(t, err, "lost the record", "partition 2 still has entries", "delete the keys {cache/")
	if n := f.redis.Exists(t.Context(), "{cache}:state").Val(); n != 0 {
		t.Error("a record was set")
	}
	if p.checkAgain(t.Context()) {
		t.Error("the node that knows the seed is refused")
	}
	eventually(t, "the other node is refused no more", func() bool {
		_, err := other.Locate(f.ctx(), true)
		return err == nil
	})
	for k := range 100 {
		if key := fmt.Sprint(k); f.locate(p)(key) != f.locate(other)(key) {
			t.Fatal("the nodes put keys elsewhere")
		}
	}
}

func TestAskingForPartitionsDoesNotMakeThem(t *testing.T) {
	f := newFixture(t)
	p := f.partitions(4)
	if locate, err := p.Locate(f.ctx(), false); locate != nil || err != nil {
		t.Errorf("located in a namespace that does not exist; %v", err)
	}
	if err := p.Check(f.ctx()); err != nil {
		t.Error(err)
	}
	if n := f.redis.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys", n)
	}
	f.locate(f.partitions(4))
	if locate, err := p.Locate(f.ctx(), false); locate == nil || err != nil {
		t.Errorf("not located; %v", err)
	}
}

func TestPartitionsAreNotBegunBesideValuesWithoutAState(t *testing.T) {
	f := newFixture(t)
	if err := f.redis.HSet(t.Context(), "{cache}:values", "k", "v").Err(); err != nil {
		t.Fatal(err)
	}
	locate, err := f.partitions(4).Locate(f.ctx(), true)
	if locate != nil {
		t.Error("keys have places")
	}
	wantRefusal(t, err, "has partitions 1 and lost its state", "import")
	if n := f.redis.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("%d keys", n)
	}
}

func TestLocatingAllocatesLittle(t *testing.T) {
	locate := locateBy("0123456789abcdef", 16)
	if n := testing.AllocsPerRun(100, func() { locate("users/4711") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
