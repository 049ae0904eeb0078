// Command expiry measures what it costs that many entries expire at once: how long until
// they are removed, how long Redis is busy with one step, how long local hits take meanwhile,
// and whether live entries are evicted by the writes that come in between. It starts Redis
// itself.
//
//	go -C bench run ./expiry
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const (
	// live is how many entries do not expire. They and those that expire fill the namespace.
	live = 10_000
	// hot is how many keys the local hits have.
	hot = 1000
	// life is that of the entries. It ends at once, since the clock of the store is moved on.
	life = 1000 * time.Hour
	// window is how long one 99th percentile of local hits is measured.
	window = 250 * time.Millisecond
	// writePause is the time between POSTs.
	writePause = 5 * time.Millisecond
	// windows are measured before the entries expire.
	windows = 12
)

func main() {
	entries := flag.Int("entries", 1_000_000, "entries that expire within one second")
	rounds := flag.Int("rounds", 3, "rounds; each fills the namespace anew")
	flag.Parse()
	if err := run(context.Background(), *entries, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "expiry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, entries, rounds int) error {
	dir, err := os.MkdirTemp("", "expiry")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := redistest.Run(dir, "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000")
	if err != nil {
		return err
	}
	defer server.Stop()
	var ratios, before, meanwhile []float64
	for round := range rounds {
		r, err := measure(ctx, server, entries)
		if err != nil {
			return err
		}
		fmt.Printf("round %d: removed in %v, longest step %v, median step %v, p99 of local hits %.2f µs before and %.2f µs meanwhile, %d POSTs, %d evicted, %d live entries lost\n",
			round+1, r.took.Round(time.Millisecond), r.longest, r.median, r.before, r.meanwhile, r.posts, r.evicted, r.lost)
		ratios, before, meanwhile = append(ratios, r.meanwhile/r.before), append(before, r.before), append(meanwhile, r.meanwhile)
	}
	fmt.Printf("median: p99 of local hits %.2f µs before, %.2f µs meanwhile, %.2f times\n", middle(before), middle(meanwhile), middle(ratios))
	return nil
}

// result is what one round shows. Percentiles are medians of windows, in µs.
type result struct {
	took, longest, median time.Duration
	before, meanwhile     float64
	posts, evicted, lost  int
}

func measure(ctx context.Context, server *redistest.Server, entries int) (r result, err error) {
	client := server.Client()
	if err := client.FlushAll(ctx).Err(); err != nil {
		return r, err
	}
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		return r, err
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: "cache", Logger: zap.NewNop()})
	limits := store.Limits{MaxKeys: entries + live, Eviction: "rank"}
	if err := fill(ctx, st, limits, entries); err != nil {
		return r, errors.Join(err, st.Close())
	}
	e := engine.New(st, engine.Settings{
		Limits: limits, LocalTTL: time.Hour, LocalMaxBytes: 64 << 20, UnsubscribedTTL: time.Hour,
		MaxQueueJobs: 4096, MaxQueueBytes: 16 << 20, Timeout: 10 * time.Second, DrainTimeout: 10 * time.Second,
	}, engine.Options{})
	defer func() { err = errors.Join(err, e.Close()) }()
	for i := range hot {
		if _, err := e.Get(ctx, liveKey(i), engine.Read{}); err != nil {
			return r, err
		}
	}
	// Writes come all the time. At first they replace entries. Then they create some: the
	// namespace is full, so only what has expired makes room.
	var expired atomic.Bool
	stop := make(chan struct{})
	var writing sync.WaitGroup
	var failed error
	writing.Go(func() {
		for i := 0; ; i++ {
			w := store.Write{Op: store.Put, Key: liveKey(hot + i%(live-hot)), Value: value}
			if expired.Load() {
				w = store.Write{Op: store.Create, Key: "post" + strconv.Itoa(i), Value: value}
				r.posts++
			}
			if _, failed = e.Write(ctx, w); failed != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(writePause):
			}
		}
	})
	var before, meanwhile []float64
	for range windows {
		before = append(before, percentile(ctx, e))
	}
	if err := client.SlowLogReset(ctx).Err(); err != nil {
		return r, err
	}
	if err := advance.Run(ctx, client, []string{"{cache}:state"}, life.Milliseconds()).Err(); err != nil {
		return r, err
	}
	expired.Store(true)
	begin := time.Now()
	for e.Stats().Expired < uint64(entries) && time.Since(begin) < 10*time.Minute {
		meanwhile = append(meanwhile, percentile(ctx, e))
	}
	r.took = time.Since(begin)
	close(stop)
	writing.Wait()
	r.before, r.meanwhile = middle(before), middle(meanwhile)
	r.evicted = int(e.Stats().Evicted)
	if r.longest, r.median, err = steps(ctx, client); err != nil {
		return r, err
	}
	r.lost, err = lost(ctx, client)
	return r, errors.Join(failed, err)
}

var value = store.Value{Data: []byte("value"), Kind: store.String}

func liveKey(i int) string { return "live" + strconv.Itoa(i) }

// advance moves the store's clock on. See expiringForm in engine/redisstore/layout.go.
var advance = redis.NewScript(`
local _, n = struct.unpack('>I6I6', redis.call('HGET', KEYS[1], 'expiring'))
local latest = redis.call('TIME')[1] * 1000 + ARGV[1]
return redis.call('HSET', KEYS[1], 'expiring', struct.pack('>I6I6', latest + 1000, n))`)

// fill creates all entries. Those that expire do so within a second.
func fill(ctx context.Context, st *redisstore.Store, limits store.Limits, entries int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	begin := time.Now()
	var writes []store.Write
	for i := range entries + live {
		w := store.Write{Op: store.Create, Key: liveKey(i - entries), Value: value}
		if i < entries {
			w.Key, w.TTL = "e"+strconv.Itoa(i), life-time.Since(begin)+time.Second*time.Duration(i)/time.Duration(entries)-time.Second
		}
		if writes = append(writes, w); len(writes) < 500 && i < entries+live-1 {
			continue
		}
		if _, err := st.Apply(ctx, store.Batch{Limits: limits, Writes: writes}); err != nil {
			return err
		}
		writes = nil
	}
	return nil
}

// percentile returns the 99th percentile of local hits in a window, in µs.
func percentile(ctx context.Context, e *engine.Engine) float64 {
	var took []float64
	for begin := time.Now(); time.Since(begin) < window; time.Sleep(time.Millisecond / 2) {
		for i := range 50 {
			at := time.Now()
			if a, err := e.Get(ctx, liveKey(i*(hot/50)), engine.Read{}); err == nil && a.Source == engine.Local {
				took = append(took, float64(time.Since(at).Nanoseconds())/1000)
			}
		}
	}
	slices.Sort(took)
	if len(took) == 0 {
		return 0
	}
	return took[len(took)*99/100]
}

// steps returns how long the longest script took Redis, and the median one.
func steps(ctx context.Context, client *redis.Client) (longest, median time.Duration, err error) {
	log, err := client.SlowLogGet(ctx, 100_000).Result()
	var took []time.Duration
	for _, entry := range log {
		if len(entry.Args) > 0 && entry.Args[0] == "evalsha" {
			took = append(took, entry.Duration)
		}
	}
	if err != nil || len(took) == 0 {
		return 0, 0, errors.Join(errors.New("no script is in the log of Redis"), err)
	}
	slices.Sort(took)
	return took[len(took)-1], took[len(took)/2], nil
}

// lost returns how many live entries are gone.
func lost(ctx context.Context, client *redis.Client) (n int, err error) {
	for first := 0; first < live; first += 1000 {
		var keys []string
		for i := range 1000 {
			keys = append(keys, liveKey(first+i))
		}
		values, err := client.HMGet(ctx, "{cache}:values", keys...).Result()
		if err != nil {
			return 0, err
		}
		for _, v := range values {
			if v == nil {
				n++
			}
		}
	}
	return n, nil
}

func middle(numbers []float64) float64 {
	if len(numbers) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}
