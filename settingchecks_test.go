package redisproxy

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestAShortTimeoutForFsyncIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		durability store.Durability
		timeout    time.Duration
		warned     int
	}{
		{store.Fsync, time.Second, 1},
		{store.Fsync, 2999 * time.Millisecond, 1},
		{store.Fsync, 3 * time.Second, 0},
		{1, time.Second, 0},
		{store.InMemory, time.Second, 0},
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		h := &Handler{logger: zap.New(core)}
		h.warnOfFsync(&engine.Settings{Durability: c.durability, Timeout: c.timeout})
		if n := logs.FilterMessageSnippet("set redis_timeout to 3s or more").Len(); n != c.warned {
			t.Errorf("%s, %v: %d warnings", c.durability, c.timeout, n)
		}
	}
}

func TestSmallSharesAreWarnedOf(t *testing.T) {
	for _, c := range []struct{ partitions, keys, warned int }{
		{1, 1, 0},
		{3, 1799, 1},
		{3, 1800, 0},
		{16, defaultMaxKeys, 0},
		{17, defaultMaxKeys, 1},
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		h := &Handler{Partitions: &c.partitions, MaxKeys: &c.keys, logger: zap.New(core)}
		h.warnOfSmallShares()
		warnings := logs.FilterMessageSnippet("each partition has a small, fixed share of max_keys")
		if warnings.Len() != c.warned {
			t.Errorf("%d partitions with %d keys: %d warnings", c.partitions, c.keys, warnings.Len())
		}
		if c.warned > 0 && warnings.All()[0].ContextMap()["enough"] != int64(600*c.partitions) {
			t.Errorf("it says %v", warnings.All()[0].ContextMap())
		}
	}
}
