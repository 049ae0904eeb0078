package redisstore_test

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/storetest"
)

//go:embed testdata/fifo.lua
var fifoLua string

func TestConformance(t *testing.T) {
	addFIFO(t)
	storetest.Run(t, onRedis(t))
}

func TestModel(t *testing.T) {
	addFIFO(t)
	storetest.RunModel(t, onRedis(t))
}

func addFIFO(t *testing.T) {
	storetest.AddFIFO(t)
	redisstore.AddFragment(t, storetest.FIFO.Name, fifoLua)
}

// onRedis starts a server for one test. Each call of the returned function opens another
// namespace on it.
func onRedis(t *testing.T) func(t *testing.T) storetest.Harness {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	server := redistest.Start(t)
	open := namespacesAt(t, server.URL(), server.Client())
	return func(t *testing.T) storetest.Harness {
		h, _ := open(t)
		return h
	}
}

// namespacesAt returns a function that opens another namespace at url, and returns its
// name. The client is connected to the server with the data.
func namespacesAt(t *testing.T, url string, client redis.Cmdable) func(t *testing.T) (storetest.Harness, string) {
	target, err := redisstore.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	var namespaces atomic.Int64
	return func(t *testing.T) (storetest.Harness, string) {
		namespace := fmt.Sprintf("test%d", namespaces.Add(1))
		return storetest.Harness{
			Store: redisstore.Patient(redisstore.New(redisstore.Config{Target: target, Namespace: namespace, Logger: zap.NewNop()})),
			Inspect: func() ([]storetest.Ranked, error) {
				return inspect(t.Context(), client, namespace)
			},
			Kept:    func() (storetest.Kept, error) { return kept(t.Context(), client, namespace) },
			Now:     func() time.Time { return clockOf(t, client, namespace) },
			Advance: func(d time.Duration) { advance(t, client, namespace, d) },
		}, namespace
	}
}

// clockOf returns the time of the store.
func clockOf(t *testing.T, client redis.Cmdable, namespace string) time.Time {
	now, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if latest, _ := redisstore.Expiring(client.HGet(t.Context(), "{"+namespace+"}:state", "expiring").Val()); latest.After(now) {
		return latest
	}
	return now
}

// advance moves the clock of a store on, as if another server had been ahead. While nothing
// expires, the store keeps no time.
func advance(t *testing.T, client redis.Cmdable, namespace string, d time.Duration) {
	state := "{" + namespace + "}:state"
	field := client.HGet(t.Context(), state, "expiring").Val()
	if field == "" {
		return
	}
	to := clockOf(t, client, namespace).Add(d)
	if err := client.HSet(t.Context(), state, "expiring", redisstore.Advanced(field, to)).Err(); err != nil {
		t.Fatal(err)
	}
}

// inspect lists a namespace in eviction order, as someone with redis-cli
// would, and checks that its structures agree.
func inspect(ctx context.Context, client redis.Cmdable, namespace string) ([]storetest.Ranked, error) {
	prefix := "{" + namespace + "}:"
	var ranks, expiries *redis.ZSliceCmd
	var values, metas, state *redis.MapStringStringCmd
	_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		ranks = p.ZRangeWithScores(ctx, prefix+"ranks", 0, -1)
		values = p.HGetAll(ctx, prefix+"values")
		metas = p.HGetAll(ctx, prefix+"meta")
		state = p.HGetAll(ctx, prefix+"state")
		expiries = p.ZRangeWithScores(ctx, prefix+"expiries", 0, -1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if v, m, r := len(values.Val()), len(metas.Val()), len(ranks.Val()); v != m || v != r {
		return nil, fmt.Errorf("%d values, %d meta, %d ranks", v, m, r)
	}

	var rows []storetest.Ranked
	var size, expiring int
	for _, z := range ranks.Val() {
		r, err := row(z, values.Val(), metas.Val())
		if err != nil {
			return nil, fmt.Errorf("%q: %w", z.Member, err)
		}
		if r.Expires = redisstore.ExpiryOf(metas.Val()[r.Key]); !r.Expires.IsZero() {
			expiring++
		}
		rows = append(rows, r)
		size += len(r.Key) + len(r.Entry.Data)
	}
	for _, z := range expiries.Val() {
		if at := redisstore.ExpiryOf(metas.Val()[z.Member.(string)]); float64(at.UnixMilli()) != z.Score {
			return nil, fmt.Errorf("%q is listed to expire at %v, and by its meta at %v", z.Member, z.Score, at)
		}
		expiring--
	}
	if _, counted := redisstore.Expiring(state.Val()["expiring"]); expiring != 0 || len(expiries.Val()) != counted && len(rows) > 0 {
		return nil, fmt.Errorf("%d expire, counted as %d, and %d are not listed", len(expiries.Val()), counted, expiring)
	}
	if counted := redisstore.Counted(state.Val()["head"]); len(rows) > 0 && counted != int64(size) {
		return nil, fmt.Errorf("%d bytes, counted as %d", size, counted)
	}
	return rows, nil
}

// kept returns the state of the policy beside the ranks.
func kept(ctx context.Context, client redis.Cmdable, namespace string) (k storetest.Kept, err error) {
	prefix := "{" + namespace + "}:"
	var state *redis.MapStringStringCmd
	var ghosts, shadow *redis.ZSliceCmd
	// The model asks after every step, so all in one round trip.
	if _, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		state = p.HGetAll(ctx, prefix+"state")
		ghosts = p.ZRangeWithScores(ctx, prefix+"ghosts", 0, -1)
		shadow = p.ZRangeWithScores(ctx, prefix+"shadow", 0, -1)
		return nil
	}); err != nil {
		return k, err
	}
	for field, to := range map[string]*float64{
		"start": &k.State.Start, "shift": &k.State.Shift,
	} {
		if value, found := state.Val()[field]; found {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return k, err
			}
		}
	}
	k.State.Clock, k.State.Window = redisstore.Turned(state.Val()["head"])
	for fields := strings.Fields(state.Val()["former"]); len(fields) > 0; fields = fields[6:] {
		f := store.Former{Policy: fields[0]}
		for i, to := range []*float64{&f.Clock, &f.Base, &f.Start, &f.Half, &f.Shift} {
			if *to, err = strconv.ParseFloat(fields[i+1], 64); err != nil {
				return k, err
			}
		}
		k.State.Former = append(k.State.Former, f)
	}
	k.Ghosts, k.Shadow = notes(ghosts.Val()), notes(shadow.Val())
	return k, nil
}

func notes(all []redis.Z) map[string]float64 {
	numbers := make(map[string]float64, len(all))
	for _, z := range all {
		numbers[z.Member.(string)] = z.Score
	}
	return numbers
}

// row puts together the parts of an entry from values, meta and ranks.
func row(z redis.Z, values, metas map[string]string) (storetest.Ranked, error) {
	member, _ := z.Member.(string)
	key := redisstore.KeyOf(member)
	if key == "" {
		return storetest.Ranked{}, fmt.Errorf("no key in the member")
	}
	value, found := values[key]
	if !found {
		return storetest.Ranked{}, fmt.Errorf("a rank without a value")
	}
	entry, insertion, size := redisstore.EntryOf(value, metas[key])
	if want := redisstore.MemberOf(insertion, key); member != want {
		return storetest.Ranked{}, fmt.Errorf("member %q, and the meta wants %q", member, want)
	}
	if size != len(value) {
		return storetest.Ranked{}, fmt.Errorf("%d bytes, and %d by the meta", len(value), size)
	}
	return storetest.Ranked{Key: key, Score: z.Score, Insertion: insertion, Entry: *entry}, nil
}
