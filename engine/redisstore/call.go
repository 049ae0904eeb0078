package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	firstBackoff = 2 * time.Millisecond
	lastBackoff  = 100 * time.Millisecond
	// firstTry bounds the first try, even if there is more time. It is enough to notice
	// a dead connection. Each further try may take twice as long.
	firstTry = 500 * time.Millisecond
)

// call runs a script as the next batch of w, until Redis answers or ctx ends. It fills in
// args[0], the sequence number of the batch, and args[1], the facts that w knows (see
// apply.lua).
//
// If the answer to a batch was lost, call sends the batch again under the same sequence
// number. If the first try changed something, Redis repeats its answer and changes
// nothing; otherwise the batch runs anew. So a batch is applied at most once
// (idempotency).
//
// A fetch has no writer, and args[0] is its mode. If it may have run before, it is run
// again but raises no rank: so it raises each at most once.
//
// d is nil for a fetch, and for a batch that is not to be made durable. Otherwise call also
// waits for d.
func (s *Store) call(ctx context.Context, script *redis.Script, w *writer, args []any, d *durable) ([]any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, fmt.Errorf("%w: called without a deadline", store.ErrUnavailable)
	}
	work := applying
	if script == fetchScript {
		work = fetching
	}
	keys := s.keys.fetches()
	if w != nil {
		w.number++
		keys = s.keys.scripts(w.id)
	}
	sent := false // some try may have reached Redis
	backoff := firstBackoff
	patience := s.firstTry
	for {
		if err := ctx.Err(); err != nil {
			return nil, failure(sent, err)
		}
		switch {
		case w != nil:
			args[0], args[1] = w.number, w.knows(sent, d != nil)
		case sent && args[0] == fetchRaising:
			args[0] = fetchAgain
		}
		var reply []any
		err := errPromoting
		if w == nil || !s.isHeld(ctx) {
			// A try gets at most half of the time left. After a lost answer, there is time
			// to ask again.
			reply, err = s.try(ctx, min(patience, time.Until(deadline)/2), d.runs(script, keys, args))
			patience *= 2
		}
		if err == nil {
			s.goesWell(work)
			if err = d.wait(ctx, reply); err == nil {
				return reply, nil
			}
			sent = true
		}
		switch {
		case w != nil && isForgotten(err):
			if sent {
				// Redis forgot this writer between two tries. The first try may have been
				// applied.
				*w = *newWriter()
				return nil, failure(true, err)
			}
			*w = *newWriter()
			w.number++
			keys = s.keys.scripts(w.id)
		case isOpen(err):
			// Only a batch of unknown fate is worth waiting for. Any other has failed.
			if !sent {
				return nil, failure(false, err)
			}
		case isPassing(err), s.isMoving(err):
		case isReply(err):
			s.refused(work, err)
			s.leaveReadOnly(err)
			if sent || isHalfWay(err) {
				return nil, failure(true, err)
			}
			return nil, fmt.Errorf("%w: %w", store.ErrRefused, err)
		case errors.Is(err, store.ErrClosed):
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
			s.retries.add(retryKind(err))
		}
	}
}

// read runs a script that only reads, until Redis answers or ctx ends. Sending it twice
// does no harm, so it needs no writer.
func (s *Store) read(ctx context.Context, script *redis.Script, args ...any) ([]any, error) {
	return s.repeat(ctx, browsing, runs(script, s.keys.reads(), args))
}

// query is a try to ask the server for something.
type query func(ctx context.Context, client *redis.Client) ([]any, error)

// runs returns the query that runs a script.
func runs(script *redis.Script, keys []string, args []any) query {
	return func(ctx context.Context, client *redis.Client) ([]any, error) {
		return script.Run(ctx, client, keys, args...).Slice()
	}
}

// repeat makes a query that changes nothing, until Redis answers or ctx ends.
func (s *Store) repeat(ctx context.Context, work string, q query) ([]any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, fmt.Errorf("%w: called without a deadline", store.ErrUnavailable)
	}
	backoff, patience := firstBackoff, s.firstTry
	for {
		reply, err := s.try(ctx, min(patience, time.Until(deadline)), q)
		if err == nil {
			s.goesWell(work)
			return reply, nil
		}
		if isReply(err) && !isPassing(err) && !s.isMoving(err) {
			s.refused(work, err)
			return nil, fmt.Errorf("%w: %w", store.ErrRefused, err)
		}
		if isOpen(err) || errors.Is(err, store.ErrClosed) || time.Until(deadline) <= backoff {
			return nil, failure(false, err)
		}
		select {
		case <-ctx.Done():
			return nil, failure(false, err)
		case <-time.After(backoff):
			s.retries.add(retryKind(err))
		}
		backoff = min(2*backoff, lastBackoff)
		patience *= 2
	}
}

// try makes a query once, unless Redis is known to be down.
func (s *Store) try(ctx context.Context, patience time.Duration, q query) ([]any, error) {
	reply, tripped, err := s.breaker.do(func() ([]any, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		p, err := s.current(ctx)
		if err != nil {
			return nil, s.diagnose(err)
		}
		asked := time.Now()
		reply, err := q(ctx, p.client)
		if err == nil {
			err = s.believe(p, asked)
		}
		hurried := patience < evidence && isTimeout(err)
		err = s.diagnose(err)
		if err != nil && !hurried {
			s.leave(p, err)
		}
		if hurried {
			err = fmt.Errorf("%w: %w", errHurried, err)
		}
		return reply, err
	})
	if err == nil {
		s.goesWell(connecting)
	}
	if tripped {
		// After some failed dials, the pool of a client tries only once a second, in a
		// goroutine that outlives the client.
		s.renew("")
	}
	return reply, err
}

// failure returns the error of the store for a failed call.
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

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// isUnsent reports whether err came before a whole command was sent. While a call waits for
// a connection, the end of its context is a context error. On a connection it is an i/o
// timeout, which has a net.OpError. If writing fails, the last bytes of a command are
// missing, and the server never runs it.
func isUnsent(err error) bool {
	var dial *dialError
	var ungreeted *ungreetedError
	var op *net.OpError
	return errors.As(err, &dial) || errors.As(err, &ungreeted) || errors.As(err, &op) && op.Op == "write" ||
		(errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && !errors.As(err, &op) ||
		err == errPromoting || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, redis.ErrClosed)
}
