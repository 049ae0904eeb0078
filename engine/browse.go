package engine

import (
	"context"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Size reads how full the store is. Its errors, like those of all that looks
// into the store here, are ErrUnavailable, ErrRefused, ErrClosed, and the
// cause of a ctx that ended. None of them raises a rank, or starts anything.
func (e *Engine) Size(ctx context.Context) (store.Size, error) {
	return browse(ctx, e, e.store.Size)
}

// browse reads from the store, no longer than Settings.Timeout.
func browse[T any](ctx context.Context, e *Engine, read func(context.Context) (T, error)) (T, error) {
	if e.closed.Load() {
		var none T
		return none, ErrClosed
	}
	bounded, cancel := context.WithTimeout(ctx, e.settings.Load().Timeout)
	defer cancel()
	got, err := read(bounded)
	switch {
	case err == nil:
		return got, nil
	case ctx.Err() != nil:
		return got, context.Cause(ctx)
	default:
		return got, readError(err)
	}
}
