package binary

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// snapshot is the data of the namespace cache in Redis.
type snapshot struct {
	number  uint64 // of the last write
	entries map[string]stored
	oldest  uint64 // the lowest insertion number
}

type stored struct {
	value             string
	rank              int
	insertion, number uint64
	etag              string
}

// inspector looks into Redis beside caddy.
type inspector struct {
	t      testing.TB
	client *redis.Client
}

const inspectorName = "inspector"

func newInspector(t testing.TB, server *redistest.Server) *inspector {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ClientName: inspectorName, PoolSize: 1})
	t.Cleanup(func() { _ = client.Close() })
	return &inspector{t: t, client: client}
}

// settle waits until Redis has run all commands that were sent before. In each turn of its
// loop, Redis serves every connection with something to read. So two turns are enough.
func (i *inspector) settle() {
	i.t.Helper()
	for range 2 {
		if err := i.client.Ping(i.t.Context()).Err(); err != nil {
			i.t.Fatal(err)
		}
	}
}

// awaitAlone waits until Redis has served the last commands on the connections of an ended
// caddy.
func (i *inspector) awaitAlone() {
	i.t.Helper()
	await(i.t, "Redis sees caddy's connections end", func() bool {
		list, err := i.client.ClientList(i.t.Context()).Result()
		if err != nil {
			i.t.Fatal(err)
		}
		return strings.Count(list, "\n") == strings.Count(list, " name="+inspectorName+" ")
	})
}

// number6 reads a number of 6 bytes.
func number6(s string) uint64 { return binary.BigEndian.Uint64([]byte("\x00\x00" + s[:6])) }

// look reads all data in Redis. It fails the test if values, meta, ranks and state disagree.
func (i *inspector) look() snapshot {
	i.t.Helper()
	var values, metas, state *redis.MapStringStringCmd
	var ranks *redis.ZSliceCmd
	_, err := i.client.TxPipelined(context.Background(), func(p redis.Pipeliner) error {
		ctx := context.Background()
		values, metas = p.HGetAll(ctx, "{cache}:values"), p.HGetAll(ctx, "{cache}:meta")
		ranks, state = p.ZRangeWithScores(ctx, "{cache}:ranks", 0, -1), p.HGetAll(ctx, "{cache}:state")
		return nil
	})
	if err != nil {
		i.t.Fatal(err)
	}

	s := snapshot{entries: make(map[string]stored, len(values.Val()))}
	counted := uint64(0)
	if head := state.Val()["head"]; head != "" {
		s.number, counted = number6(head), number6(head[20:])
	}
	if len(values.Val()) != len(metas.Val()) || len(values.Val()) != len(ranks.Val()) {
		i.t.Errorf("Redis holds %d values, %d metas and %d ranks", len(values.Val()), len(metas.Val()), len(ranks.Val()))
	}
	bytes := 0
	writes := make(map[uint64]string, len(ranks.Val()))
	for n, z := range ranks.Val() {
		e, key, err := entryOf(z, values.Val(), metas.Val())
		if err != nil {
			i.t.Error(err)
			continue
		}
		if other, ok := writes[e.number]; ok {
			i.t.Errorf("%q and %q have the same write number %d", key, other, e.number)
		}
		if e.insertion > e.number || e.number > s.number {
			i.t.Errorf("%q was inserted by write %d and has write %d, the last one being %d", key, e.insertion, e.number, s.number)
		}
		writes[e.number] = key
		bytes += len(key) + len(e.value)
		if n == 0 || e.insertion < s.oldest {
			s.oldest = e.insertion
		}
		s.entries[key] = e
	}
	if counted != uint64(bytes) && len(values.Val()) > 0 {
		i.t.Errorf("state counts %d bytes, the entries have %d", counted, bytes)
	}
	return s
}

// entryOf returns the entry of a member of ranks.
func entryOf(z redis.Z, values, metas map[string]string) (stored, string, error) {
	member := z.Member.(string)
	if len(member) < 7 {
		return stored{}, "", fmt.Errorf("ranks has the member %q", member)
	}
	key := member[6:]
	value, ok := values[key]
	if !ok {
		return stored{}, key, fmt.Errorf("%q has a rank and no value", key)
	}
	// Form, size, insertion number, tag, and the number of the last write if that is another.
	meta := metas[key]
	if len(meta) < 14 || meta[0] < 0x80 {
		return stored{}, key, fmt.Errorf("%q has the meta %q", key, meta)
	}
	e := stored{value: value, rank: int(z.Score), insertion: number6(meta[4:]), number: number6(meta[4:])}
	if meta[0] >= 0xc0 {
		e.number = number6(meta[14:])
	}
	e.etag = fmt.Sprintf(`"%x%x"`, e.number, meta[10:14])
	if member[:6] != meta[4:10] {
		return e, key, fmt.Errorf("%q is in ranks as inserted by %x, in meta by %x", key, member[:6], meta[4:10])
	}
	return e, key, nil
}
