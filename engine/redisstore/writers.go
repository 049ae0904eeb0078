package redisstore

import (
	"crypto/rand"
	"sync"
	"time"
)

// A writer numbers the batches of one lane, so that Redis can tell a batch
// that comes again from a new one, and can refuse one that comes too late.
// It is used by one call at a time.
type writer struct {
	id       string
	number   uint64 // of the last batch sent
	recorded bool   // Redis has a record of an earlier batch
	used     time.Time
}

// writerIdle is half of the time for which Redis keeps a record. A writer
// that rested longer is not used again, since its record may be gone.
const writerIdle = 5 * time.Minute

func newWriter() *writer { return &writer{id: rand.Text()} }

// knows returns what a script must know about w and about whether its batch was
// sent before; see entry.lua.
func (w *writer) knows(sent bool) int {
	n := 0
	if w.recorded {
		n = 1
	}
	if sent {
		n += 2
	}
	return n
}

// writers holds those not in use.
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
