package engine

import (
	"context"
	"errors"
	"os"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Kind is the kind of a failure. Kinds are the names that metrics and traces have
// for failures.
type Kind string

const (
	// KindNotLocal is ErrNotLocal.
	KindNotLocal Kind = "not_local"
	// KindQueueFull is ErrQueueFull.
	KindQueueFull Kind = "queue_full"
	// KindUnknown is ErrMayBeApplied.
	KindUnknown Kind = "unknown"
	// KindClosed is ErrClosed.
	KindClosed Kind = "closed"
	// KindTimeout is ErrTimeout, and an ErrUnavailable for want of time.
	KindTimeout Kind = "timeout"
	// KindRefused is ErrRefused.
	KindRefused Kind = "refused"
	// KindUnavailable is any other ErrUnavailable.
	KindUnavailable Kind = "unavailable"
	// KindCanceled says that the context of the call was canceled.
	KindCanceled Kind = "canceled"
	// KindFailed is every other error.
	KindFailed Kind = "failed"
)

// Kinds are all of them.
var Kinds = []Kind{
	KindNotLocal, KindQueueFull, KindUnknown, KindClosed, KindTimeout, KindRefused,
	KindUnavailable, KindCanceled, KindFailed,
}

// kinds has the kinds of errors. The first error that fits counts: ErrMayBeApplied
// and ErrUnavailable wrap what the store said.
var kinds = []struct {
	err  error
	kind Kind
}{
	{ErrNotLocal, KindNotLocal},
	{ErrMayBeApplied, KindUnknown},
	{ErrQueueFull, KindQueueFull},
	{ErrClosed, KindClosed},
	{ErrTimeout, KindTimeout},
	{context.DeadlineExceeded, KindTimeout},
	{ErrRefused, KindRefused},
	{ErrUnavailable, KindUnavailable},
	{context.Canceled, KindCanceled},
}

// KindOf returns the kind of an error of the engine.
func KindOf(err error) Kind {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return KindFailed
}

// kindOfCall returns the kind of an error of a call to the store, which is one of
// those in ErrorKinds.
func kindOfCall(err error) Kind {
	switch {
	case errors.Is(err, store.ErrClosed):
		return KindClosed
	case errors.Is(err, store.ErrFateUnknown):
		return KindUnknown
	case errors.Is(err, store.ErrRefused):
		return KindRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return KindTimeout
	default:
		return KindUnavailable
	}
}

// HasCause reports whether store.CauseOf tells more of a failure of this kind. The
// cause of another kind is not why it failed, or not all that there is to it.
func (k Kind) HasCause() bool {
	return k == KindTimeout || k == KindRefused || k == KindUnavailable
}

// failureName returns the cause of an error where it is known, and else its kind.
func failureName(kind Kind, err error) string {
	if cause := store.CauseOf(err); cause != "" && kind.HasCause() {
		return string(cause)
	}
	return string(kind)
}

// ErrorKinds are the names of failed calls to the store: those of a known cause (see
// store.Causes), and of others no answer in time, no connection or a store that is
// known to be down, and an answer that says no; writes of unknown fate, and the
// engine's end, whatever their cause.
var ErrorKinds = errorKinds()

func errorKinds() []string {
	var names []string
	for _, kind := range []Kind{KindTimeout, KindUnavailable, KindRefused, KindUnknown, KindClosed} {
		names = append(names, string(kind))
	}
	for _, cause := range store.Causes {
		names = append(names, string(cause))
	}
	return names
}
