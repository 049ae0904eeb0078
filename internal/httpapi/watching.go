package httpapi

import "sync"

// watching bounds the watchers of a handler, and ends them.
type watching struct {
	most int

	mu    sync.Mutex
	now   int
	ended chan struct{} // closed when all must end
	isOff bool
}

func newWatching(most int) *watching { return &watching{most: most, ended: make(chan struct{})} }

// enter takes a place; false if there is none.
func (w *watching) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == w.most {
		return false
	}
	w.now++
	return true
}

func (w *watching) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now--
}

// EndWatches ends all streams of events, and those that still begin. It may be called again.
func (s *Server) EndWatches() {
	w := s.watching
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isOff {
		w.isOff = true
		close(w.ended)
	}
}
