package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	firstBackoff = 2 * time.Millisecond
	lastBackoff  = 100 * time.Millisecond
)

// call runs a script as the next batch of w until it is answered or ctx ends.
// args[0] and args[1] are left free for the batch's number and for whether w
// has a record.
//
// A batch whose answer was lost is sent again under its number: Redis then
// answers what it answered before, and changes nothing.
func (s *Store) call(ctx context.Context, script *redis.Script, w *writer, args []any) ([]any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, fmt.Errorf("%w: called without a deadline", store.ErrUnavailable)
	}
	w.number++
	sent := false // some try may have reached Redis
	backoff := firstBackoff
	for {
		if s.closed.Load() {
			return nil, failure(sent, store.ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return nil, failure(sent, err)
		}
		args[0], args[1] = w.number, w.recorded
		// Half of what is left, so that a lost answer leaves time to ask again.
		try, cancel := context.WithDeadline(ctx, time.Now().Add(time.Until(deadline)/2))
		reply, err := script.Run(try, s.client.Load(), s.keys.scripts(w.id), args...).Slice()
		cancel()
		if err == nil {
			return reply, nil
		}
		switch {
		case strings.HasPrefix(err.Error(), "REFUSED"):
			if sent {
				// Redis forgot this writer between two tries: nobody can tell
				// whether the first one was applied.
				*w = *newWriter()
				return nil, failure(true, err)
			}
			*w = *newWriter()
			w.number++
		case redis.IsLoadingError(err), redis.IsMasterDownError(err), redis.IsClusterDownError(err), redis.IsMaxClientsError(err):
			// It will pass.
		case isReply(err):
			return nil, failure(sent, err)
		case !isUnsent(err):
			sent = true
		}
		wait := min(backoff, lastBackoff)
		backoff *= 2
		if time.Until(deadline) <= wait {
			return nil, failure(sent, err)
		}
		select {
		case <-ctx.Done():
			return nil, failure(sent, err)
		case <-time.After(wait):
		}
	}
}

// failure says in the store's terms how a call ended.
func failure(sent bool, err error) error {
	switch {
	case sent:
		return fmt.Errorf("%w: %w", store.ErrFateUnknown, err)
	case errors.Is(err, store.ErrClosed):
		return err
	default:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
}

// isReply reports whether err was said by the server, which then did nothing:
// scripts fail before their first write.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isUnsent reports whether err came before anything was sent.
func isUnsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, redis.ErrClosed)
}
