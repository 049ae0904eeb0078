package httpapi

import (
	"sync"
)

const (
	// maxUnanswered and maxUnansweredBytes bound the lines of a bulk request that are not
	// answered. One line may exceed the bytes alone.
	maxUnanswered      = 128
	maxUnansweredBytes = 8 << 20
)

// bulkWindow has the lines of a bulk request that are not answered, in order. One goroutine
// adds lines, another takes them away.
type bulkWindow struct {
	mu      sync.Mutex
	changed sync.Cond
	lines   []*bulkLine
	// reserved is the number of lines that hold a place: one more than in lines while the
	// last one is being submitted.
	reserved int
	bytes    int64
	isClosed bool // no line follows
	isBroken bool // nobody waits for answers any more

	// gets counts the gets of a key that have not read. A write to that key waits for
	// them. writes has the last write to a key that is not answered; a get waits for it.
	gets   map[string]int
	writes map[string]*bulkLine
}

func newBulkWindow() *bulkWindow {
	w := &bulkWindow{gets: make(map[string]int), writes: make(map[string]*bulkLine)}
	w.changed.L = &w.mu
	return w
}

// reserve waits until a line may be submitted: until there is a place, and until no get
// has still to read what the line changes. It reports false if the window is broken.
func (w *bulkWindow) reserve(l *bulkLine) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := l.size()
	isWrite := l.isWrite()
	for !w.isBroken {
		isFull := w.reserved >= maxUnanswered || w.bytes > 0 && w.bytes+size > maxUnansweredBytes
		if !isFull && !(isWrite && w.gets[l.key] > 0) {
			break
		}
		w.changed.Wait()
	}
	if w.isBroken {
		return false
	}
	w.reserved++
	w.bytes += size
	l.held = size
	switch {
	case isWrite:
		w.writes[l.key] = l
	case l.isGet():
		l.after = w.writes[l.key]
		w.gets[l.key]++
	}
	return true
}

// add appends a line that has a place.
func (w *bulkWindow) add(l *bulkLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
	w.changed.Broadcast()
}

// close says that no line follows.
func (w *bulkWindow) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isClosed = true
	w.changed.Broadcast()
}

// breakOff makes reserve return false, now and later.
func (w *bulkWindow) breakOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isBroken = true
	w.changed.Broadcast()
}

// first returns the first line, and nil after the last one. If there is no line yet, it
// waits for one, or returns nil.
func (w *bulkWindow) first(wait bool) *bulkLine {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lines) == 0 {
		if w.isClosed || !wait {
			return nil
		}
		w.changed.Wait()
	}
	return w.lines[0]
}

// answered removes the first line.
func (w *bulkWindow) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lines[0]
	w.lines[0] = nil
	w.lines = w.lines[1:]
	w.reserved--
	w.bytes -= l.held
	l.isAnswered = true
	if w.writes[l.key] == l {
		delete(w.writes, l.key)
	}
	l.after = nil
	w.changed.Broadcast()
}

// ready returns the gets that may read now, in order, with their different keys. The first
// line is one of them. It also returns how many bytes of values the lines hold that have
// read.
func (w *bulkWindow) ready() (gets []*bulkLine, keys []string, held int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[string]bool)
	for _, l := range w.lines {
		switch {
		case !l.isGet():
		case l.isRead:
			if l.got.Entry != nil {
				held += int64(len(l.got.Entry.Data))
			}
		case l.after == nil || l.after.isAnswered:
			gets = append(gets, l)
			if !seen[l.key] {
				seen[l.key] = true
				keys = append(keys, l.key)
			}
		}
	}
	return gets, keys, held
}

// read lets the writes go on that wait for gets.
func (w *bulkWindow) read(gets []*bulkLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range gets {
		l.isRead = true
		if w.gets[l.key]--; w.gets[l.key] == 0 {
			delete(w.gets, l.key)
		}
	}
	w.changed.Broadcast()
}
