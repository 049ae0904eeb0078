package redisproxy

import (
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// handoverLog makes a logger that outlives configurations. The loggers of a
// configuration write to places that are closed with it, while an engine
// survives reloads; so what the engine logs goes to the logger of the
// configuration in effect.
type handoverLog struct {
	name    string
	current atomic.Pointer[zapcore.Core]
}

func newHandoverLog(l *zap.Logger) *handoverLog {
	h := &handoverLog{name: l.Name()}
	h.handOver(l)
	return h
}

func (h *handoverLog) handOver(l *zap.Logger) {
	core := l.Core()
	h.current.Store(&core)
}

func (h *handoverLog) logger() *zap.Logger {
	return zap.New(&handoverCore{log: h}).Named(h.name)
}

type handoverCore struct {
	log    *handoverLog
	fields []zapcore.Field
}

func (c *handoverCore) core() zapcore.Core { return *c.log.current.Load() }

func (c *handoverCore) Enabled(level zapcore.Level) bool { return c.core().Enabled(level) }

func (c *handoverCore) With(fields []zapcore.Field) zapcore.Core {
	return &handoverCore{log: c.log, fields: slices.Concat(c.fields, fields)}
}

func (c *handoverCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write asks the core again: Caddy's filter by the logger's name when checked.
func (c *handoverCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	if checked := c.core().Check(entry, nil); checked != nil {
		checked.Write(slices.Concat(c.fields, fields)...)
	}
	return nil
}

func (c *handoverCore) Sync() error { return c.core().Sync() }

var _ zapcore.Core = (*handoverCore)(nil)
