package httpapi

import (
	"errors"
	"net/http"
	"sync"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

const (
	// maxBulkAnswers bounds the answers of a bulk request that its client has not read.
	// One answer may exceed it alone.
	maxBulkAnswers = 8 << 20
	// freeBulkAnswers of them do not count among those of all bulk requests.
	freeBulkAnswers = 64 << 10
	// bulkWrite is how many bytes are written at once. A client that does not read so many
	// within body_timeout makes no progress.
	bulkWrite = 32 << 10
)

// bulkOut sends the answers of a bulk request. One goroutine adds answers, and another
// sends them, so that requests are read while a client does not read answers.
type bulkOut struct {
	w       http.ResponseWriter
	control *http.ResponseController
	shared  *running.Bulk
	max     int64 // of all bulk requests
	guard   *bulkGuard

	mu       sync.Mutex
	changed  sync.Cond
	buffer   []byte // not sent, and not being sent
	counted  int64  // bytes in shared
	sending  int    // bytes
	isDue    bool   // the buffer should be sent
	isClosed bool   // no answer follows
	err      error  // of sending
}

func newBulkOut(w http.ResponseWriter, shared *running.Bulk, max int64, guard *bulkGuard) *bulkOut {
	o := &bulkOut{w: w, control: http.NewResponseController(w), shared: shared, max: max, guard: guard}
	o.changed.L = &o.mu
	return o
}

// add appends an answer, when there is room. It drops the answer if nothing can be sent any
// more.
func (o *bulkOut) add(answer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && !o.hasRoom(len(answer)) {
		o.isDue = true
		o.changed.Broadcast()
		o.changed.Wait()
	}
	if o.err == nil {
		o.buffer = append(o.buffer, answer...)
	}
}

// hasRoom reports whether n more bytes may wait, and counts them if so.
func (o *bulkOut) hasRoom(n int) bool {
	waiting := len(o.buffer) + o.sending
	switch {
	case waiting == 0 || waiting+n <= freeBulkAnswers:
		return true
	case waiting+n > maxBulkAnswers || !o.shared.Keep(int64(n), o.max):
		return false
	}
	o.counted += int64(n)
	return true
}

// flush sends what was added.
func (o *bulkOut) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buffer) > 0 && !o.isDue {
		o.isDue = true
		o.changed.Broadcast()
	}
}

// close says that no answer follows.
func (o *bulkOut) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.isClosed = true
	o.changed.Broadcast()
}

// run sends answers until the last one was sent, or one could not be sent.
func (o *bulkOut) run() error {
	var spare []byte
	for {
		answers := o.take(spare)
		if answers == nil {
			return nil
		}
		err := o.send(answers)
		o.sent(err)
		if err != nil {
			return err
		}
		if spare = answers[:0]; cap(spare) > 4*bulkWrite {
			spare = nil
		}
	}
}

// take waits for answers, and returns those that wait; nil after the last ones. The buffer
// then is spare.
func (o *bulkOut) take(spare []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buffer) == 0 || !o.isDue && !o.isClosed {
		if o.isClosed {
			return nil
		}
		o.changed.Wait()
	}
	o.isDue = false
	answers := o.buffer
	o.buffer, o.sending = spare, len(answers)
	return answers
}

func (o *bulkOut) send(answers []byte) error {
	o.guard.sending(true)
	defer o.guard.sending(false)
	for len(answers) > 0 {
		n := min(len(answers), bulkWrite)
		if _, err := o.w.Write(answers[:n]); err != nil {
			return err
		}
		answers = answers[n:]
		if len(answers) == 0 {
			if err := o.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
		}
		o.guard.move()
	}
	return nil
}

// sent notes that what was taken is sent, or that nothing can be sent any more.
func (o *bulkOut) sent(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = 0
	if o.err = err; err != nil {
		o.buffer = nil
	}
	if over := o.counted - int64(max(0, len(o.buffer)-freeBulkAnswers)); over > 0 {
		o.shared.Free(over)
		o.counted -= over
	}
	o.changed.Broadcast()
}
