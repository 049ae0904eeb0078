package httpapi

import (
	"fmt"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// bulkLine is a line of a bulk request on its way to its answer.
type bulkLine struct {
	number  int
	op      running.Operation
	key     string // without keyPrefix; empty if it is not known or not valid
	ifMatch []string
	began   time.Duration
	held    int64    // bytes in the window
	failure *failure // of a line that is not carried out, or of a get
	// isLast says that nothing behind the line is carried out.
	isLast bool

	// These are for writes: the write, until it is submitted, and what is to be waited for.
	write   store.Write
	pending engine.Pending
	// isAnswered is set for the gets that wait for this write.
	isAnswered bool

	// These are for gets: the last write to the key that came before, if it was not
	// answered when the get came, and the answer.
	after  *bulkLine
	isRead bool
	got    engine.Answer
}

// size returns the bytes that a line counts against the bound of its request.
func (l *bulkLine) size() int64 { return l.write.Size() }

// isGet reports whether the line reads, and nothing is wrong with it so far.
func (l *bulkLine) isGet() bool { return l.op == running.OpBulkGet && l.failure == nil }

// isWrite reports whether the line writes, and nothing is wrong with it so far.
func (l *bulkLine) isWrite() bool { return l.op != running.OpBulkGet && l.failure == nil }

// bulkOps are the operations of the lines. Each is on if its method is.
var bulkOps = map[string]struct {
	op     running.Operation
	write  store.Op
	method Methods
	name   string // of the method
}{
	"create": {running.OpBulkCreate, store.Create, methodPost, "POST"},
	"put":    {running.OpBulkPut, store.Put, methodPut, "PUT"},
	"delete": {running.OpBulkDelete, store.Delete, methodDelete, "DELETE"},
	"get":    {running.OpBulkGet, 0, methodGet, "GET"},
}

// parseLine reads a line. A mistake in it becomes its failure.
func (s *Server) parseLine(keyPrefix string, text []byte, isOwned bool) *bulkLine {
	l := &bulkLine{op: running.OpBulkOther}
	c, err := content.DecodeLine(text, isOwned)
	op, isKnown := bulkOps[c.Op]
	if isKnown {
		l.op = op.op
	}
	wrongKey := s.checkFullKey(keyPrefix, c.Key)
	if wrongKey == nil {
		l.key = c.Key
	}
	switch {
	case err != nil:
		l.fail(badRequest("%v", err))
	case !s.config.Methods.has(op.method):
		l.fail(notAllowed.because(op.name + " is switched off: it is not in `methods` in the configuration of redis_proxy"))
	case wrongKey != nil:
		l.fail(badRequest("%v", wrongKey))
	case l.op != running.OpBulkGet:
		if err := s.readLineWrite(l, op.write, keyPrefix, &c); err != nil {
			l.fail(err)
		}
	}
	return l
}

// readLineWrite checks what a write has beside its key.
func (s *Server) readLineWrite(l *bulkLine, op store.Op, keyPrefix string, c *content.Line) (err error) {
	w := store.Write{Op: op, Key: keyPrefix + c.Key, Value: c.Value}
	switch {
	case int64(len(w.Value.Data)) > s.config.MaxValueSize:
		return tooLarge.because(fmt.Sprintf("the value has more than %d bytes, the limit that max_value_size sets", s.config.MaxValueSize))
	case w.Value.ContentType != "":
		if err := checkContentType("content_type", w.Value.ContentType); err != nil {
			return err
		}
	case w.Value.Kind == store.Raw:
		w.Value.ContentType = typeOctetStream
	}
	if op != store.Delete {
		if w.TTL, err = s.ttlOf(c.TTL); err != nil {
			return err
		}
	}
	if c.IfMatch != "" {
		l.ifMatch = []string{c.IfMatch}
		if w.IfMatch, err = versions("if_match", l.ifMatch, false); err != nil {
			return err
		}
	}
	if c.IfNoneMatch != "" {
		if w.IfNoneMatch, err = versions("if_none_match", []string{c.IfNoneMatch}, true); err != nil {
			return err
		}
	}
	l.write = w
	return nil
}

// fail sets the failure of a line: a *failure, or an error of the engine.
func (l *bulkLine) fail(err error) {
	f, isRefused := err.(*failure)
	if !isRefused {
		f = failureOf(err)
	}
	l.failure = f
	l.write = store.Write{}
}

// maxLine returns the most bytes of a valid line: those of a value of max_value_size in
// base64 and of a key of max_key_size that is escaped, and 16 KiB for the rest.
func (s *Server) maxLine() int64 {
	return (s.config.MaxValueSize+2)/3*4 + 6*int64(s.config.MaxKeySize) + 16<<10
}
