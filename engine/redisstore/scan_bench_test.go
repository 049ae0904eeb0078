package redisstore

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

var evalshaCalls = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+),usec=(\d+)`)

// BenchmarkScan passes over 1,000,000 keys. It reports how long Redis took for a step, on
// average and at most, and how many steps a pass had.
func BenchmarkScan(b *testing.B) {
	const many = 1_000_000
	redis := redistest.Start(b)
	target, err := Parse(redis.URL())
	if err != nil {
		b.Fatal(err)
	}
	s := New(Config{Target: target, Namespace: "cache", Logger: zap.NewNop()})
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	limits := store.Limits{MaxKeys: 2 * many, Eviction: "rank"}
	for i := 0; i < many; {
		var writes []store.Write
		for range 1000 {
			writes = append(writes, create(fmt.Sprintf("user/%d", i), "v"))
			i++
		}
		if _, err := s.Apply(ctx, store.Batch{Writes: writes, Limits: limits}); err != nil {
			b.Fatal(err)
		}
	}
	client := redis.Client()
	for _, c := range []struct {
		name, prefix string
		n            int
	}{{"1000 at once", "", 1000}, {"100 at once", "", 100}, {"1 of 100 has the prefix", "user/99", 100}} {
		b.Run(c.name, func(b *testing.B) {
			for _, args := range [][]any{
				{"CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "100000"},
				{"SLOWLOG", "RESET"},
				{"CONFIG", "RESETSTAT"},
			} {
				if err := client.Do(ctx, args...).Err(); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				for after := ""; ; {
					_, next, err := s.Scan(ctx, c.prefix, after, c.n)
					if err != nil {
						b.Fatal(err)
					}
					if after = next; after == "" {
						break
					}
				}
			}
			stats, err := client.Info(ctx, "commandstats").Result()
			if err != nil {
				b.Fatal(err)
			}
			found := evalshaCalls.FindStringSubmatch(stats)
			calls, _ := strconv.ParseFloat(found[1], 64)
			micros, _ := strconv.ParseFloat(found[2], 64)
			slow, err := client.SlowLogGet(ctx, 100_000).Result()
			if err != nil {
				b.Fatal(err)
			}
			longest := time.Duration(0)
			for _, entry := range slow {
				if entry.Args[0] == "evalsha" {
					longest = max(longest, entry.Duration)
				}
			}
			b.ReportMetric(calls/float64(b.N), "steps/op")
			b.ReportMetric(micros/calls, "redis-µs/step")
			b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
		})
	}
}
