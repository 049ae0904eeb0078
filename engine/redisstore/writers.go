package redisstore

import (
	"crypto/rand"
	"sync"
	"time"
)

// A writer is an idempotent producer. Its producer id and the sequence numbers of its
// batches let Redis tell a repeated batch from a new one, and refuse one that comes too
// late. One call at a time uses a writer.
type writer struct {
	id       string // the producer id
	number   uint64 // the sequence number of the last batch
	recorded bool   // Redis has a record of an earlier batch
	used     time.Time
}

// writerIdle is half of the time for which Redis keeps a record. A writer that was idle
// for longer is not used again, since its record may be gone. The record may be gone
// earlier, if the last batches changed nothing; the next batch is then retried.
const writerIdle = 5 * time.Minute

func newWriter() *writer { return &writer{id: rand.Text()} }

// knows returns the facts that a script must know of w and its batch: whether Redis has a
// record, whether this batch was sent before, and whether it is to be made durable; see
// apply.lua.
func (w *writer) knows(sent, durable bool) int {
	n := 0
	if w.recorded {
		n = 1
	}
	if sent {
		n += 2
	}
	if durable {
		n += 4
	}
	return n
}

// writers holds the writers that no call uses.
type writers struct {
	mu   sync.Mutex
	idle []*writer
}

func (ws *writers) take() *writer {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for n := len(ws.idle); n > 0; n = len(ws.idle) {
		w := ws.idle[n-1]
		ws.idle = ws.idle[:n-1]
		if time.Since(w.used) < writerIdle {
			return w
		}
	}
	return newWriter()
}

func (ws *writers) put(w *writer) {
	w.used = time.Now()
	ws.mu.Lock()
	ws.idle = append(ws.idle, w)
	ws.mu.Unlock()
}
