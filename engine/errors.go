package engine

import (
	"errors"
	"fmt"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The errors of the engine. All but ErrMayBeApplied and ErrNotDurable mean that the key was
// not changed.
// KindOf returns the kind of an error, and store.CauseOf its cause, where the store
// tells it.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("engine closed")

	// ErrQueueFull says that the queue holds as many writes, or as many bytes, as
	// Settings allow.
	ErrQueueFull = errors.New("write queue full")

	// ErrTimeout says that too little of Settings.Timeout was left when the turn of
	// the call came, or nothing.
	ErrTimeout = errors.New("timed out waiting for the store")

	// ErrUnavailable says that the store cannot be reached, or is not ready.
	ErrUnavailable = errors.New("store unavailable")

	// ErrRefused says that the store answers with an error.
	ErrRefused = errors.New("the store refuses")

	// ErrTooMuchAtOnce is an ErrRefused. The write needs more evictions than the
	// store makes in one batch. The store made as many as it may; repeating the write
	// continues from there.
	ErrTooMuchAtOnce = fmt.Errorf("%w: too much to evict at once", ErrRefused)

	// ErrMayBeApplied says that a write was sent to the store and that no answer came
	// in time. The store may have applied it, or may still do so.
	ErrMayBeApplied = errors.New("the write may have been applied")

	// ErrNotDurable says that a write was applied, but did not become as durable in time
	// as Settings.Durability demands. The store may lose it.
	ErrNotDurable = errors.New("the write was applied and may be lost")

	// ErrBasisNotDurable is an ErrNotDurable. The write changed nothing, because of what
	// the store holds, and the store may lose that.
	ErrBasisNotDurable = fmt.Errorf("%w: it changed nothing", ErrNotDurable)

	// ErrNotLocal answers a Read with LocalOnly if the local tier has no fresh entry.
	ErrNotLocal = errors.New("no fresh local entry")
)

// storeError is an error of the store, with the engine's name for it. Its text is
// that of the store alone, which says the same.
type storeError struct{ name, err error }

func (e *storeError) Error() string { return e.err.Error() }

func (e *storeError) Unwrap() []error { return []error{e.name, e.err} }

// writeError returns the error of the engine for a batch of writes that failed.
func writeError(err error) error {
	if errors.Is(err, store.ErrFateUnknown) {
		return fmt.Errorf("%w: %w", ErrMayBeApplied, err)
	}
	return readError(err)
}

// readError returns the error of the engine for a failed read. A fetch whose script
// stopped half-way because a right is missing counts as refused: it may have raised some
// ranks, and the caller did not ask for those.
func readError(err error) error {
	switch {
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrFateUnknown) && store.CauseOf(err) == store.Permission:
		return &storeError{ErrRefused, err}
	}
	return &storeError{ErrUnavailable, err}
}
