package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// pollPause is how long the second node sleeps between two reads. The measured delays are
// exact to about this much. Without the pause, a busy loop would keep the node from
// receiving the event of the write.
const pollPause = 20 * time.Microsecond

// coherence measures how long a second node, with the key in its local tier, serves the old
// value after another node has acknowledged a write.
func (b *bench) coherence(ctx context.Context, rows []row) error {
	sv, err := b.start(ctx)
	if err != nil {
		return err
	}
	var nodes [2]*engine.Engine
	for i := range nodes {
		if nodes[i], err = newNode(sv.redis.URL()); err != nil {
			return err
		}
		defer nodes[i].Close()
	}
	writer, reader := nodes[0], nodes[1]
	delays := make([]time.Duration, b.samples)
	for i := range delays {
		value := strconv.Itoa(i)
		if i > 0 {
			// The reader holds the old value, and would keep it for an hour.
			a, err := reader.Get(ctx, "k", engine.Read{})
			if err != nil {
				return err
			}
			if a.Source != engine.Local {
				return fmt.Errorf("write %d: the second node does not hold the key locally", i)
			}
		}
		if _, err := writer.Write(ctx, store.Write{Op: store.Put, Key: "k", Value: store.Value{Data: []byte(value), Kind: store.String}}); err != nil {
			return err
		}
		if delays[i], err = awaitValue(ctx, reader, value); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // let the work that the write caused end
	}
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	res := result{row: rows[0], values: []float64{millis(percentile(delays, 99))}}
	res.notes = append(res.notes, fmt.Sprintf("Delay of a write between nodes: %d writes, p50 %.3g ms, longest %.3g ms.",
		len(delays), millis(percentile(delays, 50)), millis(percentile(delays, 100))))
	b.results = append(b.results, res)
	return nil
}

// awaitValue returns how long it takes until e answers with value.
func awaitValue(ctx context.Context, e *engine.Engine, value string) (time.Duration, error) {
	begun := time.Now()
	for {
		a, err := e.Get(ctx, "k", engine.Read{})
		if err != nil {
			return 0, err
		}
		since := time.Since(begun)
		if a.Entry != nil && string(a.Entry.Data) == value {
			// Read until it is local: a late event may have dropped it.
			for a.Source != engine.Local {
				if a, err = e.Get(ctx, "k", engine.Read{}); err != nil {
					return 0, err
				}
			}
			return since, nil
		}
		if since > 10*time.Second {
			return 0, fmt.Errorf("the second node still serves the old value after %v", since)
		}
		time.Sleep(pollPause)
	}
}

func newNode(redisURL string) (*engine.Engine, error) {
	target, err := redisstore.Parse(redisURL)
	if err != nil {
		return nil, err
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: "coherence", Logger: zap.NewNop()})
	return engine.New(st, engine.Settings{
		Limits:          store.Limits{MaxKeys: 100, Eviction: store.Rank.Name},
		LocalTTL:        time.Hour,
		LocalMaxBytes:   1 << 20,
		UnsubscribedTTL: time.Second,
		MaxQueueJobs:    100,
		MaxQueueBytes:   1 << 20,
		Timeout:         5 * time.Second,
		DrainTimeout:    5 * time.Second,
	}, engine.Options{}), nil
}
