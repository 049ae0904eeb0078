package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// EndWithCaddy makes streams of events end when Caddy stops or reloads, and bulk requests when
// it stops. They could hold it up for as long as their clients like. The context is that of the provisioning.
func (s *Server) EndWithCaddy(ctx context.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(func() {
			s.EndWatches()
			if caddy.Exiting() { // else a reload, which ends no other requests
				s.stop()
			}
		})
	}
}

// caddysWriteTimeout replaces Caddy's own bound on a write that does not move, which
// cannot know that the client still sends lines. The guard has a bound that does.
const caddysWriteTimeout = 24 * time.Hour

var errStuck = errors.New("the client does not read its answers")

// bulkGuard ends a bulk request that does not move: if for body_timeout the client neither
// reads answers that wait for it nor sends. Caddy's `write_idle`, if it is shorter, is the
// bound instead. It also ends the reading when Caddy stops.
type bulkGuard struct {
	idle     time.Duration
	began    time.Time
	movedAt  atomic.Int64 // since began
	isMoving atomic.Bool  // answers are being sent
	// isReading says that the body is being read, or that this failed. The reader of the
	// lines then finds out why, and writing will fail if the client is gone.
	isReading atomic.Bool
	stopping  <-chan struct{}
	cancel    context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	reader  *caddyhttp.IdleTimeoutReader
	writer  *http.ResponseController
	done    []func()
	isStuck bool
	hasDone bool
}

// guardBulk prepares the connection for a bulk request. It returns the body to read.
func (s *Server) guardBulk(w http.ResponseWriter, r *http.Request, cancel context.CancelCauseFunc) (*bulkGuard, io.Reader) {
	g := &bulkGuard{idle: s.config.BodyTimeout, began: time.Now(), stopping: s.stopping.Done(), cancel: cancel, writer: http.NewResponseController(w)}
	// HTTP/1 reads no body once an answer has begun, unless it is told to. Other versions
	// always do, and need not know this call.
	_ = g.writer.EnableFullDuplex()
	body, reader, done := s.timedBody(w, r)
	g.reader, g.done = reader, append(g.done, done)
	if _, caddys := caddyhttp.IdleTimeoutsFromContext(r.Context()); caddys != nil {
		g.idle = min(g.idle, caddys.Deadline.Timeout)
		g.done = append(g.done, caddys.Override(caddysWriteTimeout, 0, 0))
		g.writer = caddys.Ctrl // whose deadlines another goroutine may set
	}
	unstop := context.AfterFunc(s.stopping, g.stopReading)
	// Over HTTP/1 the context also ends when reading times out. Then the client is there.
	stay := context.AfterFunc(r.Context(), func() {
		if !g.isReading.Load() {
			cancel(context.Cause(r.Context()))
		}
	})
	g.done = append(g.done, func() { unstop(); stay() })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(g.idle, g.check)
	return g, guardedBody{body, g}
}

// guardedBody is a body whose bytes are moves.
type guardedBody struct {
	io.Reader
	guard *bulkGuard
}

func (b guardedBody) Read(p []byte) (int, error) {
	b.guard.isReading.Store(true)
	n, err := b.Reader.Read(p)
	b.guard.isReading.Store(err != nil && err != io.EOF)
	if n > 0 {
		b.guard.move()
	}
	return n, err
}

// move notes that the client has sent or read something.
func (g *bulkGuard) move() { g.movedAt.Store(int64(time.Since(g.began))) }

// sending notes that answers are being sent, or that they are sent.
func (g *bulkGuard) sending(is bool) {
	g.move()
	g.isMoving.Store(is)
}

// check ends the request if it does not move.
func (g *bulkGuard) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hasDone {
		return
	}
	left := g.idle - (time.Since(g.began) - time.Duration(g.movedAt.Load()))
	if left > 0 || !g.isMoving.Load() {
		g.timer.Reset(max(left, g.idle/4))
		return
	}
	g.isStuck = true
	g.cancel(errStuck)
	past := time.Unix(1, 0)
	_ = g.reader.SetReadDeadline(past)
	_ = g.writer.SetWriteDeadline(past)
}

// stopReading makes the body end with an error.
func (g *bulkGuard) stopReading() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hasDone {
		_ = g.reader.SetReadDeadline(time.Unix(1, 0))
	}
}

// isStopping reports whether Caddy stops.
func (g *bulkGuard) isStopping() bool {
	select {
	case <-g.stopping:
		return true
	default:
		return false
	}
}

// end gives the connection back to the server. It reports whether the request was stuck.
func (g *bulkGuard) end() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hasDone = true
	g.timer.Stop()
	for _, done := range g.done {
		done()
	}
	return g.isStuck
}
