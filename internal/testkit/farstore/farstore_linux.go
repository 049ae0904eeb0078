// Package farstore has a store for benchmarks that takes its time to answer, but no
// core. So a benchmark on one core and on two shows how much of the work around the
// store a second core can do.
package farstore

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Store has every key, and creates every key too.
type Store struct {
	store.Store
	distance time.Duration
	size     int // of the values

	number atomic.Uint64
	timers timers
	calls  atomic.Uint64
}

// Calls returns how many calls of Fetch and Apply there were.
func (s *Store) Calls() uint64 { return s.calls.Load() }

// New returns a store that answers after distance, with values of size bytes.
func New(distance time.Duration, size int) *Store { return &Store{distance: distance, size: size} }

// Fetch implements store.Store.
func (s *Store) Fetch(_ context.Context, keys []string, _ store.Room, _ ...store.Use) (store.Fetched, error) {
	s.calls.Add(1)
	f := store.Fetched{Entries: make([]*store.Entry, len(keys)), Number: s.number.Load()}
	for i := range keys {
		f.Entries[i] = &store.Entry{
			Value:   store.Value{Data: make([]byte, s.size), Kind: store.Raw},
			Version: store.Version{Number: 1, Tag: 1},
		}
	}
	return f, s.timers.wait(s.distance)
}

// Apply implements store.Store.
func (s *Store) Apply(_ context.Context, batch store.Batch) (store.Applied, error) {
	s.calls.Add(1)
	a := store.Applied{Results: make([]store.Result, len(batch.Writes)), Limits: batch.Limits}
	for i := range a.Results {
		a.Results[i] = store.Result{Outcome: store.Created, Version: store.Version{Number: s.number.Add(1), Tag: 1}}
	}
	a.Number = s.number.Load()
	return a, s.timers.wait(s.distance)
}

// Close implements store.Store.
func (s *Store) Close() error { return s.timers.close() }

// timers wait as a call over the network does: the kernel wakes the waiting goroutine.
// A sleep of the runtime would last a millisecond where all cores are idle.
type timers struct {
	mu   sync.Mutex
	idle []timer
}

// timer is a timerfd. Its file reads once it has fired.
type timer struct {
	fd   uintptr
	file *os.File
}

func (t *timers) wait(d time.Duration) error {
	timer, err := t.take()
	if err != nil {
		return err
	}
	spec := struct{ interval, value syscall.Timespec }{value: syscall.NsecToTimespec(int64(d))}
	if _, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, timer.fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		return errno
	}
	var count [8]byte
	_, err = timer.file.Read(count[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, timer)
	return err
}

func (t *timers) take() (timer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		timer := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return timer, nil
	}
	const monotonic = 1
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return timer{}, errno
	}
	return timer{fd, os.NewFile(fd, "timerfd")}, nil
}

func (t *timers) close() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, timer := range t.idle {
		err = errors.Join(err, timer.file.Close())
	}
	t.idle = nil
	return err
}
