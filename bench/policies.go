package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const (
	policyKeys    = 10_000 // of a namespace
	policyRead    = 9000   // of one whose keys were read, in the middle: no policy lets them go for what comes later
	policyEntries = 400    // fetched, and written, in a round of one size
)

// policyBatches are how many keys a call has.
var policyBatches = []int{1, 10, 50}

// policyCalls are what is compared: in namespaces all of whose entries were read,
// or none. Where all were, rank lets go what was created last for what comes next:
// within a batch it never stores it. Adaptive stores it, and lets an older one go.
var policyCalls = []struct {
	what    string
	allRead bool
	do      func(*policyLoad, context.Context, int) error
}{
	{"a fetch", true, (*policyLoad).fetch},
	{"a write that evicts", false, (*policyLoad).create},
	{"a write that evicts, where all was read", true, (*policyLoad).create},
}

func policyRows() []row {
	var rows []row
	for _, c := range policyCalls {
		for _, n := range policyBatches {
			rows = append(rows, row{
				what: fmt.Sprintf("`adaptive`, Redis time of %s, batches of %d", c.what, n), beside: "`rank`",
				target: atMost(1.5), unit: ratio,
			})
		}
	}
	return rows
}

// redisTime compares what scripts take in Redis under adaptive and under rank,
// in rounds of the one and the other.
func (b *bench) redisTime(ctx context.Context, rows []row) error {
	server, err := redistest.Run(b.dir)
	if err != nil {
		return err
	}
	defer server.Stop()
	client := server.Client()
	defer client.Close()
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		return err
	}
	loads := map[bool][]*policyLoad{} // by whether all was read
	for _, allRead := range []bool{true, false} {
		for _, p := range []store.Policy{store.Rank, store.Adaptive} {
			l := &policyLoad{
				Store:  redisstore.New(redisstore.Config{Target: target, Namespace: fmt.Sprint(p.Name, allRead), Logger: zap.NewNop()}),
				limits: store.Limits{MaxKeys: policyKeys, Eviction: p.Name},
				chance: rand.New(rand.NewPCG(1, 2)),
			}
			defer l.Close()
			if err := l.fill(ctx, allRead); err != nil {
				return err
			}
			loads[allRead] = append(loads[allRead], l)
		}
	}
	progress("measuring %d rounds of fetches and writes under %s and %s", b.options.rounds, store.Rank.Name, store.Adaptive.Name)
	values := map[string][]float64{}
	for range b.options.rounds {
		what := policyRows()
		for _, c := range policyCalls {
			for _, n := range policyBatches {
				var took [2]float64
				for k, l := range loads[c.allRead] {
					if took[k], err = scriptTime(ctx, client, func() error { return c.do(l, ctx, n) }); err != nil {
						return err
					}
				}
				values[what[0].what] = append(values[what[0].what], took[1]/took[0])
				what = what[1:]
			}
		}
	}
	for _, r := range rows {
		b.results = append(b.results, result{row: r, values: values[r.what]})
	}
	return nil
}

// scriptTime returns how many microseconds Redis had scripts running in do.
func scriptTime(ctx context.Context, client *redis.Client, do func() error) (float64, error) {
	usec := func() (float64, error) {
		stats, err := client.InfoMap(ctx, "commandstats").Result()
		if err != nil {
			return 0, err
		}
		var calls, usec float64
		_, err = fmt.Sscanf(stats["Commandstats"]["cmdstat_evalsha"], "calls=%f,usec=%f", &calls, &usec)
		return usec, err
	}
	before, err := usec()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := usec()
	return after - before, err
}

// policyLoad is a namespace that is full.
type policyLoad struct {
	*redisstore.Store
	limits  store.Limits
	chance  *rand.Rand
	created int
}

func (l *policyLoad) fill(ctx context.Context, allRead bool) error {
	for range policyKeys / store.MaxBatch {
		if err := l.apply(ctx, store.MaxBatch); err != nil {
			return err
		}
	}
	if !allRead {
		return nil
	}
	keys := make([]string, policyKeys)
	for i := range keys {
		keys[i] = key(i)
	}
	for range 3 {
		for from := 0; from < len(keys); from += store.MaxBatch {
			if err := l.read(ctx, keys[from:from+store.MaxBatch]); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch fetches entries.
func (l *policyLoad) fetch(ctx context.Context, n int) error {
	for range policyEntries / n {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = key((policyKeys-policyRead)/2 + l.chance.IntN(policyRead))
		}
		if err := l.read(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

func (l *policyLoad) read(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fetched, err := l.Fetch(ctx, keys, store.AnyRoom)
	if err == nil && slices.Contains(fetched.Entries, nil) {
		err = errors.New("an entry is gone that was read")
	}
	return err
}

// create creates entries, for each of which one leaves.
func (l *policyLoad) create(ctx context.Context, n int) error {
	for range policyEntries / n {
		if err := l.apply(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (l *policyLoad) apply(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b := store.Batch{Limits: l.limits}
	for range n {
		b.Writes = append(b.Writes, store.Write{Op: store.Create, Key: key(l.created), Value: textValue(0)})
		l.created++
	}
	applied, err := l.Apply(ctx, b)
	if err == nil && applied.Results[0].Outcome != store.Created {
		err = fmt.Errorf("outcome %d %s", applied.Results[0].Outcome, applied.Results[0].Reason)
	}
	return err
}
