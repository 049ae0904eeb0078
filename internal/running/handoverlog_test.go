package running

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestLogIsHandedOver(t *testing.T) {
	first, firstLogs := observer.New(zapcore.WarnLevel)
	second, secondLogs := observer.New(zapcore.InfoLevel)
	h := newHandoverLog(zap.New(first).Named("http.handlers.redis_proxy"))
	log := h.Logger().With(zap.Int("a", 1))
	log.Info("below the level")
	log.Warn("one", zap.Int("b", 2))
	h.handOver(zap.New(second))
	log.Info("two", zap.Int("c", 3))

	if n := firstLogs.Len(); n != 1 {
		t.Fatalf("%d entries", n)
	}
	e := firstLogs.All()[0]
	if e.LoggerName != "http.handlers.redis_proxy" || e.Message != "one" || e.ContextMap()["a"] != int64(1) || e.ContextMap()["b"] != int64(2) {
		t.Errorf("%+v", e)
	}
	if n := secondLogs.Len(); n != 1 || secondLogs.All()[0].ContextMap()["a"] != int64(1) {
		t.Errorf("%+v", secondLogs.All())
	}
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
}
