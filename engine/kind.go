package engine

import (
	"context"
	"errors"
	"os"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Kind is the kind of a failure. Metrics and traces use kinds as names of failures.
type Kind string

const (
	// KindNotLocal is ErrNotLocal.
	KindNotLocal Kind = "not_local"
	// KindQueueFull is ErrQueueFull.
	KindQueueFull Kind = "queue_full"
	// KindUnknown is ErrMayBeApplied.
	KindUnknown Kind = "unknown"
	// KindNotDurable is ErrNotDurable.
	KindNotDurable Kind = "not_durable"
	// KindClosed is ErrClosed.
	KindClosed Kind = "closed"
	// KindTimeout is ErrTimeout, and an ErrUnavailable because the time of the caller ran
	// out.
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

// Kinds lists all kinds.
var Kinds = []Kind{
	KindNotLocal, KindQueueFull, KindUnknown, KindNotDurable, KindClosed, KindTimeout,
	KindRefused, KindUnavailable, KindCanceled, KindFailed,
}

// kinds maps errors to kinds. The first error that matches counts, since
// ErrMayBeApplied, ErrNotDurable and ErrUnavailable wrap errors of the store.
var kinds = []struct {
	err  error
	kind Kind
}{
	{ErrNotLocal, KindNotLocal},
	{ErrMayBeApplied, KindUnknown},
	{ErrNotDurable, KindNotDurable},
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

// kindOfCall returns the kind of an error that the store returned. It is one of those
// in ErrorKinds. It differs from KindOf in two cases. For a call, a timeout on the
// connection is a timeout; for a caller of the engine, whose own time is not over, the
// store is unavailable. A read whose fate the store does not know is unknown for the
// call; for the caller it is unavailable too, since a read changes nothing.
func kindOfCall(err error) Kind {
	switch {
	case errors.Is(err, store.ErrNotDurable):
		return KindNotDurable
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

// HasCause reports whether store.CauseOf explains a failure of this kind. An error of
// another kind failed for another reason, or not for this reason alone.
func (k Kind) HasCause() bool {
	return k == KindTimeout || k == KindRefused || k == KindUnavailable || k == KindNotDurable
}

// failureName returns the cause of an error if it is known, and otherwise its kind.
func failureName(kind Kind, err error) string {
	if cause := store.CauseOf(err); cause != "" && kind.HasCause() {
		return string(cause)
	}
	return string(kind)
}

// ErrorKinds lists the names of failed calls to the store. A call whose cause is known
// has the name of the cause (see store.Causes). Other names are: timeout (no answer in
// time), unavailable (no connection, or the store is known to be down) and refused (an
// error in answer). Writes of unknown fate are unknown, and calls that the engine's end
// cut off are closed, whatever the cause. Applied writes that are not durable have a cause.
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
