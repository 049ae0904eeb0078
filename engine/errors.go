package engine

import (
	"errors"
	"fmt"
)

// The engine's answers when it could not do what was asked. All but
// ErrMayBeApplied mean that the key was not changed. store.CauseOf tells the cause
// of those of the store, where it is known.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("engine closed")

	// ErrQueueFull says that as many writes, or as many bytes of them, wait
	// as Settings allow.
	ErrQueueFull = errors.New("write queue full")

	// ErrTimeout says that Settings.Timeout passed, or all but too little of
	// it, before the call got its turn.
	ErrTimeout = errors.New("timed out waiting for the store")

	// ErrUnavailable says that the store could not be reached, or is not ready.
	ErrUnavailable = errors.New("store unavailable")

	// ErrRefused says that the store answers, and says no.
	ErrRefused = errors.New("the store refuses")

	// ErrTooMuchAtOnce is an ErrRefused of a value for which, together with
	// those applied with it, more entries have to leave than the store evicts
	// at once: those that did are gone, and
	// repeating the write goes on with it.
	ErrTooMuchAtOnce = fmt.Errorf("%w: too much to evict at once", ErrRefused)

	// ErrMayBeApplied says that a write was sent to the store and that no
	// answer came in time: it may have happened, or happen yet.
	ErrMayBeApplied = errors.New("the write may have been applied")

	// ErrNotLocal answers a Read with LocalOnly whose entry is not local.
	ErrNotLocal = errors.New("no fresh local entry")
)

// storeError is an error of the store, with the engine's name for it. Its text is
// that of the store alone, which says the same.
type storeError struct{ name, err error }

func (e *storeError) Error() string { return e.err.Error() }

func (e *storeError) Unwrap() []error { return []error{e.name, e.err} }
