package httpapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// batchSteps reads the keys of a batch read in steps. The engine decides how many keys
// a step has. The steps end when the answer is full.
type batchSteps struct {
	keys      []string // not read yet
	keyPrefix string
	room      store.Room
}

// next returns answers for the next keys, in their order. It returns none when all keys
// are read or the answer is full.
func (s *batchSteps) next(ctx context.Context, e *engine.Engine, read engine.Read) ([]engine.Answer, error) {
	if len(s.keys) == 0 {
		return nil, nil
	}
	full := s.keys
	if s.keyPrefix != "" {
		full = make([]string, len(s.keys))
		for i, key := range s.keys {
			full[i] = s.keyPrefix + key
		}
	}
	answers, err := e.GetMany(ctx, full, read, s.room)
	if err != nil {
		return nil, err
	}
	s.keys = s.keys[len(answers):]
	for _, a := range answers {
		if a.Entry == nil {
			continue
		}
		// Only the first value may be larger than the room.
		s.room.Enough = max(0, s.room.Enough-int64(len(a.Entry.Data)))
		s.room.Most = s.room.Enough
	}
	return answers, nil
}

// batchBuffer is the number of bytes that are written at once.
const batchBuffer = 32 << 10

// batchWriter writes the answer to a batch read: the entries in the order of the keys,
// then the absent keys, then the omitted ones. The keys are without keyPrefix, which
// the keys in the store begin with.
type batchWriter struct {
	to        *bufio.Writer
	keyPrefix string
	absent    []string
	some      bool // an entry was written
	buffer    []byte
}

func newBatchWriter(w io.Writer, keyPrefix string) *batchWriter {
	b := &batchWriter{to: bufio.NewWriterSize(w, batchBuffer), keyPrefix: keyPrefix}
	b.write(`{"entries":[`)
	return b
}

// write ignores errors: the bufio.Writer keeps the first one, and flush returns it.
func (b *batchWriter) write(s string) { _, _ = b.to.WriteString(s) }

func (b *batchWriter) quote(s string) {
	b.buffer = content.AppendQuoted(b.buffer[:0], s)
	_, _ = b.to.Write(b.buffer)
}

func (b *batchWriter) flush() error { return b.to.Flush() }

// add writes an entry: its envelope and etag. A raw value has no envelope; add writes
// its bytes in base64 and its content type.
func (b *batchWriter) add(key string, a engine.Answer) {
	if a.Entry == nil {
		b.absent = append(b.absent, key)
		return
	}
	if b.some {
		b.write(",")
	}
	b.some = true
	v := a.Entry.Prepared.(*representations)
	b.write(envelopeKey)
	b.quote(key)
	if v.plain.isRaw {
		b.write(`,"base64":"`)
		encoder := base64.NewEncoder(base64.StdEncoding, b.to)
		_, _ = encoder.Write(v.raw.body)
		_ = encoder.Close()
		b.write(`","content_type":`)
		b.quote(v.raw.contentType)
	} else {
		_, _ = b.to.Write(v.valueField(b.keyPrefix, key))
	}
	if v.etag != "" {
		b.write(`,"etag":`)
		b.quote(v.etag)
	}
	_ = b.to.WriteByte(envelopeEnd)
}

// valueField returns the field with the value in an envelope, and the comma before it.
func (v *representations) valueField(keyPrefix, key string) []byte {
	start := len(envelopeKey) + content.QuotedLen(keyPrefix) - len(`""`) + content.QuotedLen(key)
	return v.plain.body[start : len(v.plain.body)-1]
}

// end writes the lists after the entries.
func (b *batchWriter) end(omitted []string) {
	b.write(`],"absent":`)
	b.list(b.absent)
	if len(omitted) > 0 {
		b.write(`,"omitted":`)
		b.list(omitted)
		b.write(`,"hint":"this answer is full (max_answer_bytes); ask for these keys again, without the others"`)
	}
	_ = b.to.WriteByte(envelopeEnd)
	_ = b.flush()
}

func (b *batchWriter) list(keys []string) {
	_ = b.to.WriteByte('[')
	for i, key := range keys {
		if i > 0 {
			_ = b.to.WriteByte(',')
		}
		b.quote(key)
	}
	_ = b.to.WriteByte(']')
}

// logCut logs why an answer was cut. The answer itself cannot say it any more.
func (s *Server) logCut(err error) {
	if c := s.config.Logger.Check(zapcore.DebugLevel, "the answer was cut because the store failed after the beginning was sent"); c != nil {
		c.Write(zap.Error(err))
	}
}
