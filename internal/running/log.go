// Package running has what outlives a configuration beside the engine: where its
// log goes, its history, request bodies on their way, and what the store said of
// itself lately.
package running

import (
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// HandoverLog makes a logger that outlives configurations. The loggers of a
// configuration write to places that are closed with it, while an engine
// survives reloads; so what the engine logs goes to the logger of the
// configuration in effect.
type HandoverLog struct {
	name    string
	current atomic.Pointer[zapcore.Core]
}

// NewHandoverLog returns one that writes to l at first.
func NewHandoverLog(l *zap.Logger) *HandoverLog {
	h := &HandoverLog{name: l.Name()}
	h.HandOver(l)
	return h
}

// HandOver makes what is logged go to l from now on.
func (h *HandoverLog) HandOver(l *zap.Logger) {
	core := l.Core()
	h.current.Store(&core)
}

// Logger returns the logger that outlives configurations.
func (h *HandoverLog) Logger() *zap.Logger {
	return zap.New(&handoverCore{log: h}).Named(h.name)
}

type handoverCore struct {
	log    *HandoverLog
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
