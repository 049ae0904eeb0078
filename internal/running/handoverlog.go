package running

import (
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// handoverLog makes a logger that outlives configurations. The outputs of a
// configuration's loggers are closed with it, but an engine survives reloads. So the engine
// logs to the logger of the configuration in effect.
type handoverLog struct {
	name    string
	current atomic.Pointer[zapcore.Core]
}

// newHandoverLog returns a handoverLog that writes to l at first.
func newHandoverLog(l *zap.Logger) *handoverLog {
	h := &handoverLog{name: l.Name()}
	h.handOver(l)
	return h
}

// handOver makes all further lines go to l.
func (h *handoverLog) handOver(l *zap.Logger) {
	core := l.Core()
	h.current.Store(&core)
}

// Logger returns the logger that outlives configurations.
func (h *handoverLog) Logger() *zap.Logger {
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

// Write calls Check of the core again, since Caddy's cores filter by the name of the logger
// there.
func (c *handoverCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	if checked := c.core().Check(entry, nil); checked != nil {
		checked.Write(slices.Concat(c.fields, fields)...)
	}
	return nil
}

func (c *handoverCore) Sync() error { return c.core().Sync() }

var _ zapcore.Core = (*handoverCore)(nil)
