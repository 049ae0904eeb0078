package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// typeNDJSON is the content type of the answers to a bulk request, and of most such requests.
const typeNDJSON = "application/x-ndjson"

// maxBulkLines is the largest number of lines in one bulk request.
const maxBulkLines = 100_000

// isBulk reports whether a write is a bulk request: many operations, one a line.
func isBulk(x *exchange) bool {
	lines := x.r.Header["Content-Type"]
	if x.where != keypath.Collection || len(lines) != 1 || x.r.URL.RawQuery != "" && wantsRaw(x.r.URL.RawQuery) {
		return false
	}
	media := mediaType(lines[0])
	return media == typeNDJSON || media == "application/jsonl"
}

// bulk is a bulk request. Three goroutines work on it. That of the request reads the lines
// and submits them, the second one waits for their answers in order, and the third one
// sends these. So a client may send everything before it reads anything.
type bulk struct {
	*Server
	x      exchange
	ctx    context.Context
	cancel context.CancelCauseFunc
	guard  *bulkGuard
	lines  lineReader
	window *bulkWindow
	out    *bulkOut
	tally  bulkTally
}

// serveBulk answers a bulk request. Once it has begun its status is 200, and each line has
// a status of its own.
func (s *Server) serveBulk(x *exchange) error {
	x.op = running.OpBulk
	if err := checkBulkHead(x); err != nil {
		return s.fail(x, err)
	}
	x.rec.end(running.OutcomeStreamed)
	header := headerValues{x.w.Header(), make([]string, 0, 3)}
	header.set("Content-Type", typeNDJSON)
	header.set("X-Content-Type-Options", "nosniff")
	header.set("Cache-Control", "no-store")

	shared := &s.config.Cache.Bulk
	shared.Begin()
	defer shared.End()
	// A copy, since an exchange that is on the heap would cost every request an allocation.
	b := &bulk{Server: s, x: *x, window: newBulkWindow()}
	// A trace with a span for each line would be more than anybody reads. The guard tells
	// when the client is gone.
	untraced := trace.ContextWithSpanContext(context.WithoutCancel(x.r.Context()), trace.SpanContext{})
	b.ctx, b.cancel = context.WithCancelCause(untraced)
	defer b.cancel(nil)
	var body io.Reader
	b.guard, body = s.guardBulk(b.x.w, b.x.r, b.cancel)
	b.out = newBulkOut(b.x.w, shared, s.config.Cache.Bodies.Max(), b.guard)
	var room room
	b.lines = lineReader{
		source: body, max: s.maxLine(),
		makeRoom:  func() error { return s.admit(b.x.r, s.maxLine(), &room) },
		leaveRoom: room.leave,
	}
	breakOff := context.AfterFunc(b.ctx, func() {
		b.window.breakOff()
		b.guard.stopReading()
	})

	var working sync.WaitGroup
	working.Go(b.answerAll)
	working.Go(func() {
		if err := b.out.run(); err != nil {
			b.cancel(err)
		}
	})
	b.readAll(&working)
	working.Wait()
	breakOff()
	err := b.end()
	x.rec = b.x.rec
	return err
}

// checkBulkHead refuses a bulk request whose headers ask for something else.
func checkBulkHead(x *exchange) error {
	if _, err := sentContentType(x.r.Header); err != nil {
		return err
	}
	if err := checkEncoding(x); err != nil {
		return err
	}
	if _, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err == nil && params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return unsupportedType.because("the lines of a bulk request are UTF-8; send them so, and leave the charset out")
	}
	switch ttl, err := queryTTL(x.r); {
	case err != nil:
		return err
	case ttl.IsSet:
		return badRequest("the query has a ttl, and this request may name many entries; write it into the lines")
	}
	for _, name := range [...]string{"If-Match", "If-None-Match"} {
		if x.r.Header[name] != nil {
			return badRequest("%s is for one entry, and this request may name many; write conditions into the lines, as if_match and if_none_match", name)
		}
	}
	return nil
}

// end ends a bulk request whose goroutines have ended.
func (b *bulk) end() error {
	isStuck := b.guard.end()
	outcome := b.tally.outcome
	if b.ctx.Err() != nil {
		outcome = running.OutcomeClientGone
	}
	b.x.rec.endBulk(outcome, b.tally.lines, b.tally.failed)
	if isStuck {
		return errAnswerCut
	}
	return nil
}

// readAll reads the lines and submits them.
func (b *bulk) readAll(working *sync.WaitGroup) {
	defer b.window.close()
	defer b.lines.leaveRoom()
	for {
		text, isOwned, err := b.lines.next()
		l := &bulkLine{op: running.OpBulkOther}
		began := b.config.Cache.Requests.Elapsed()
		switch {
		case err == io.EOF:
			return
		case err == errLongLine:
			l.fail(tooLarge.because("the line is longer than any line with a key and a value within max_key_size and max_value_size"))
		case err == errEndlessLine:
			b.lines.number++
			b.stop(l, tooLarge.because("the line is many times as long as any line with a key and a value within max_key_size and max_value_size"))
		case err != nil:
			b.lines.number++ // the line that was not read
			b.stop(l, b.whyUnread(err))
		case b.lines.number > maxBulkLines:
			b.stop(l, tooLarge.because("a bulk request has at most 100,000 lines"))
		default:
			l = b.parseLine(b.x.keyPrefix, text, isOwned)
		}
		l.number, l.began = b.lines.number, began
		if b.ctx.Err() != nil || !b.window.reserve(l) {
			return
		}
		b.submit(l)
		b.window.add(l)
		if l.isLast {
			b.drain(working)
			return
		}
	}
}

// drainIdle is how long nothing may come behind the last line, once all is answered.
const drainIdle = 250 * time.Millisecond

// drain reads what comes behind the last line, until the answers are sent and nothing comes
// any more. A client that sends everything before it reads would otherwise never read them.
func (b *bulk) drain(working *sync.WaitGroup) {
	b.window.close()
	ended := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		working.Wait()
		for moved := int64(-1); ; {
			select {
			case <-ended:
				return
			case <-time.After(drainIdle):
			}
			last := moved
			if moved = b.guard.movedAt.Load(); moved == last {
				b.guard.stopReading()
				return
			}
		}
	})
	b.lines.drain()
	close(ended)
	waiting.Wait()
}

// submit puts a write into the queue.
func (b *bulk) submit(l *bulkLine) {
	if !l.isWrite() {
		return
	}
	var err error
	l.pending, err = b.config.Cache.Engine.Submit(b.ctx, l.write, b.config.BodyTimeout)
	l.write = store.Write{}
	switch {
	case err == nil:
	case errors.Is(err, engine.ErrQueueFull), errors.Is(err, engine.ErrClosed):
		b.stop(l, err) // the next lines would fare no better
	default:
		l.fail(err)
	}
}

// stop makes l the last line. It says that no line from there on is carried out.
func (b *bulk) stop(l *bulkLine, err error) {
	l.fail(err)
	l.isLast = true
}

// whyUnread returns why the body cannot be read further.
func (b *bulk) whyUnread(err error) error {
	if b.guard.isStopping() {
		return engine.ErrClosed
	}
	if errors.Is(err, engine.ErrQueueFull) || errors.Is(err, engine.ErrClosed) {
		return err // there was no room for a long line
	}
	err = readError(b.x.r, err)
	if f, ok := err.(*failure); ok && f.refusal == clientGone {
		b.cancel(err)
	}
	return err
}
