package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// halfDone is the error of a command that had begun its work. state says what there is now,
// and how to go on.
type halfDone struct {
	error
	state string
}

func (e halfDone) Error() string { return e.error.Error() + "; " + e.state }

func (e halfDone) Unwrap() error { return e.error }

// interrupted is the error of a command that was interrupted. The call that the interrupt broke
// off is no fault of Redis, and so is not told.
func interrupted(err error) error {
	half, isHalf := errors.AsType[halfDone](err)
	_, isOfFile := errors.AsType[*fs.PathError](err)
	switch {
	case isOfFile, !isBrokenOff(err):
		return fmt.Errorf("interrupted: %w", err)
	case isHalf:
		return errors.New("interrupted; " + half.state)
	default:
		return errors.New("interrupted before this run wrote any entry")
	}
}

// isBrokenOff reports whether err is that of a call whose context ended.
func isBrokenOff(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFateUnknown)
}

// unlessInterrupted runs f, which no context can end: it reads a file, or an answer of Redis
// that may not come. If ctx ends first, it does not wait for f: the process ends. Until then f
// may still write to its variables, so they are of no use after an error.
func unlessInterrupted(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
