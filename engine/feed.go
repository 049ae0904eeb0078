package engine

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// The feed remembers so many notices, and so many bytes of their keys.
	mostNotices     = 8192
	mostNoticeBytes = 4 << 20
	// feedPause is the least time between two calls of all watchers. Notices that come
	// meanwhile are read together: with many watchers, each call costs much.
	feedPause = 100 * time.Millisecond
	// feedRest is how long the feed goes on without watchers. Those that a reload has cut
	// off come back within that time, and miss nothing.
	feedRest = time.Minute
)

// Reset is the What of a notice that says that changes may have been missed.
const Reset = "reset"

// Notice tells a watcher of a change.
type Notice struct {
	// What is that of a store.Change, or Reset.
	What string
	Key  string
	// Version is that of the entry that was created or that replaced another one.
	Version store.Version
	// Place is the place behind the notice, for Watcher.AppendID.
	Place uint64
}

// feed tells watchers of all changes of the store, in its order. Without watchers, a change
// costs no more than reading a flag.
//
// There is one log for all watchers, and each has a place in it. So a watcher that is slow
// takes no memory, and slows down nobody.
type feed struct {
	active atomic.Bool
	told   atomic.Uint64 // notices that reached clients
	// dropped counts the watchers that were too slow.
	dropped atomic.Uint64

	mu       sync.RWMutex
	name     string // changes when the log begins anew
	log      []Notice
	first    uint64 // place of the oldest notice in the log
	next     uint64 // place of the next notice
	bytes    int
	watchers int
	resting  *time.Timer // ends the log; nil while there are watchers

	more    chan struct{} // closed, and replaced, to call the watchers
	called  uint64        // next, at the last call
	pause   *time.Timer   // nil if no pause is running
	closing chan struct{}
	closed  bool
}

func newFeed() *feed { return &feed{more: make(chan struct{}), closing: make(chan struct{})} }

// changed tells of a batch of changes.
func (f *feed) changed(e store.Event) {
	if !f.active.Load() || len(e.Changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range e.Changes {
		n := Notice{What: c.What, Key: c.Key}
		if c.What == "created" || c.What == "replaced" {
			n.Version = store.Version{Number: c.Number, Tag: e.ID.Tag}
		}
		f.add(n)
	}
	f.call()
}

// reset tells that changes may have been missed.
func (f *feed) reset() {
	if !f.active.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(Notice{What: Reset})
	f.call()
}

func (f *feed) add(n Notice) {
	if f.log == nil {
		return // it ended at the same moment
	}
	for f.next-f.first == mostNotices || f.next > f.first && f.bytes+len(n.Key) > mostNoticeBytes {
		oldest := &f.log[f.first%mostNotices]
		f.bytes -= len(oldest.Key)
		*oldest = Notice{}
		f.first++
	}
	n.Place = f.next + 1
	f.log[f.next%mostNotices] = n
	f.bytes += len(n.Key)
	f.next++
}

// call calls the watchers, at once or at the end of the pause.
func (f *feed) call() {
	if f.pause != nil || f.closed || f.called == f.next {
		return
	}
	f.called = f.next
	close(f.more)
	f.more = make(chan struct{})
	f.pause = time.AfterFunc(feedPause, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.pause = nil
		f.call()
	})
}

// Watcher hears of the changes of the keys with a prefix. One goroutine may use it, until
// Close.
type Watcher struct {
	feed   *feed
	name   string // of the log
	prefix string
	place  uint64
}

// join adds a watcher. It begins at the end of the log, or at the place that AppendID named. If
// the log does not have all since then, its first notice is a Reset.
func (f *feed) join(prefix, after string) (*Watcher, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false
	}
	if f.log == nil {
		f.log, f.name = make([]Notice, mostNotices), strconv.FormatUint(rand.Uint64(), 36)
		f.first, f.next, f.called, f.bytes = 1, 1, 1, 0
		f.active.Store(true)
	}
	if f.resting != nil {
		f.resting.Stop()
		f.resting = nil
	}
	f.watchers++
	w := &Watcher{feed: f, name: f.name, prefix: prefix, place: f.next}
	if after != "" {
		name, number, _ := strings.Cut(after, "-")
		place, err := strconv.ParseUint(number, 10, 64)
		if w.place = 0; err == nil && name == f.name && place <= f.next {
			w.place = place
		}
	}
	return w, true
}

// Take appends the next notices to to, n at most, and returns a channel that is closed when
// there are others. A Reset stands for those that the log has no more.
func (w *Watcher) Take(to []Notice, n int) (notices []Notice, more <-chan struct{}) {
	f := w.feed
	f.mu.RLock()
	defer f.mu.RUnlock()
	if w.place < f.first {
		w.place = f.next
		return append(to, Notice{What: Reset, Place: w.place}), f.more
	}
	for ; w.place < f.next && n > 0; w.place++ {
		if notice := &f.log[w.place%mostNotices]; w.hears(notice) {
			to = append(to, *notice)
			n--
		}
	}
	return to, f.more
}

func (w *Watcher) hears(n *Notice) bool {
	return n.What == Reset || strings.HasPrefix(n.Key, w.prefix)
}

// Newest returns the place behind the newest notice.
func (w *Watcher) Newest() uint64 {
	w.feed.mu.RLock()
	defer w.feed.mu.RUnlock()
	return w.feed.next
}

// CameSince returns how many notices for the watcher came behind a place.
func (w *Watcher) CameSince(place uint64) (n int) {
	f := w.feed
	f.mu.RLock()
	defer f.mu.RUnlock()
	for place = max(place, f.first); place < f.next; place++ {
		if w.hears(&f.log[place%mostNotices]) {
			n++
		}
	}
	return n
}

// AppendID appends the name of a place, for Engine.Watch.
func (w *Watcher) AppendID(to []byte, place uint64) []byte {
	return strconv.AppendUint(append(append(to, w.name...), '-'), place, 10)
}

// Place is the place behind the notices that were taken.
func (w *Watcher) Place() uint64 { return w.place }

// Closing returns a channel that is closed when the engine is.
func (w *Watcher) Closing() <-chan struct{} { return w.feed.closing }

// Told counts notices that reached the client.
func (w *Watcher) Told(n int) { w.feed.told.Add(uint64(n)) }

// Drop counts the watcher as too slow. It must be closed all the same.
func (w *Watcher) Drop() { w.feed.dropped.Add(1) }

// Close ends the watcher.
func (w *Watcher) Close() {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers--; f.watchers > 0 || f.closed {
		return
	}
	f.resting = time.AfterFunc(feedRest, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.watchers == 0 && !f.closed {
			f.end()
		}
	})
}

func (f *feed) end() {
	f.active.Store(false)
	f.log, f.resting = nil, nil
}

// close ends all watchers, and the feed.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	close(f.closing)
	for _, timer := range []*time.Timer{f.pause, f.resting} {
		if timer != nil {
			timer.Stop()
		}
	}
	f.active.Store(false)
}

func (f *feed) size() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.watchers
}
