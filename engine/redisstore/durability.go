package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// durable makes a batch durable. The script runs on a connection of its own, and WAIT or
// WAITAOF follows on the same connection, since these wait for the last write of their
// connection. So every script of a durable batch writes something: also one that changes
// no entry, and one that only repeats an answer (see apply.lua and commit.lua). Some
// servers let WAIT wait for more, others do not.
type durable struct {
	store  *Store
	wanted store.Durability
	conn   *redis.Conn   // on which the script ran, until the wait is over
	reply  []any         // of the script, once it ran
	short  error         // why the writes are not durable, after the last wait
	waited time.Duration // by all waits
}

// durably returns nil if the batch demands nothing.
func (s *Store) durably(b store.Batch) *durable {
	if b.Durability == store.InMemory || len(b.Writes) == 0 {
		return nil
	}
	return &durable{store: s, wanted: b.Durability}
}

// runs is the query that runs a script. It keeps the connection for wait.
func (d *durable) runs(script *redis.Script, keys []string, args []any) query {
	if d == nil {
		return runs(script, keys, args)
	}
	return func(ctx context.Context, client *redis.Client) ([]any, error) {
		// If the server cannot do it, the script must not run.
		if err := d.store.checkDurable(ctx, client, d.wanted); err != nil {
			return nil, ungreeted(err) // the script was not sent
		}
		d.release()
		d.conn = client.Conn()
		reply, err := script.Run(ctx, d.conn, keys, args...).Slice()
		if err != nil {
			d.release()
		}
		return reply, err
	}
}

// wait follows a script that was answered. It returns an error if the connection failed.
// Then the script should be sent again, and repeats its answer on another connection.
func (d *durable) wait(ctx context.Context, reply []any) error {
	if d == nil {
		return nil
	}
	defer d.release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.store.life, cancel)()
	begin := time.Now()
	defer func() { d.waited += time.Since(begin) }()
	// The rest of the time is for the answer to travel.
	deadline, _ := ctx.Deadline()
	end := begin.Add(deadline.Sub(begin) * 7 / 8)
	d.reply = reply
	for patience := d.store.firstTry; ; patience *= 2 {
		now := time.Now()
		limit := max(min(patience, end.Sub(now)), time.Millisecond)
		asking, cancel := context.WithTimeout(ctx, limit+deadline.Sub(end))
		short, err := waitFor(asking, d.conn, d.wanted, limit)
		cancel()
		err = d.store.diagnose(err)
		switch {
		case err != nil && !isReply(err):
			d.short = err
			return err
		case err != nil:
			d.store.durableOn.Store(nil)
			d.store.leaveReadOnly(err)
			d.short = err
			return nil
		case short == nil:
			d.short = nil
			d.store.goesWell(securing)
			return nil
		case time.Until(end) <= 0:
			d.short = short
			return nil
		}
	}
}

// answer returns the answer of the batch after the last try. An answer of an earlier try
// stays true if the last one failed.
func (d *durable) answer(reply []any, err error) ([]any, error) {
	if d == nil || d.reply == nil || err == nil {
		return reply, err
	}
	d.short = err
	return d.reply, nil
}

// judge fills in how durable the batch became.
func (d *durable) judge(a *store.Applied) {
	if d == nil {
		return
	}
	a.Waited = d.waited
	if d.short == nil {
		return
	}
	if store.CauseOf(d.short) == "" {
		d.short = notDurable(d.short)
	}
	d.store.complain(securing, "Redis has writes that are not as durable as demanded; they are answered with an error", d.short)
	a.NotDurable = fmt.Errorf("%w: %w", store.ErrNotDurable, d.short)
}

func (d *durable) release() {
	if d.conn != nil {
		_ = d.conn.Close() // this gives it back to its client
		d.conn = nil
	}
}

func notDurable(err error) error {
	return &store.CausedError{Cause: store.NotDurable, Err: err, Advice: advices[store.NotDurable]}
}

// doer is a redis.Conn or a redis.Client.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// waitFor waits until the last write on a connection is as durable as wanted, for at most
// limit, which is at least a millisecond: 0 would mean for ever. It returns why it
// is not.
func waitFor(ctx context.Context, on doer, wanted store.Durability, limit time.Duration) (short, err error) {
	if wanted == store.Fsync {
		acks, err := on.Do(ctx, "WAITAOF", 1, 0, limit.Milliseconds()).Int64Slice()
		if err == nil && (len(acks) == 0 || acks[0] < 1) {
			short = notDurable(errors.New("the disk of Redis did not confirm the writes in time"))
		}
		return short, err
	}
	acks, err := on.Do(ctx, "WAIT", int(wanted), limit.Milliseconds()).Int64()
	if err == nil && acks < int64(wanted) {
		short = notDurable(fmt.Errorf("replicas that confirmed the writes in time: %d; demanded: %d", acks, wanted))
	}
	return short, err
}

// durability is what a client was found to be able to do.
type durability struct {
	client *redis.Client
	what   store.Durability
}

// checkDurable returns an error if the server of a client does not know the command that
// waits, or refuses it. It asks once for each client.
func (s *Store) checkDurable(ctx context.Context, client *redis.Client, wanted store.Durability) error {
	able := durability{client, min(wanted, 1)}
	if known := s.durableOn.Load(); known != nil && *known == able {
		return nil
	}
	var err error
	if wanted == store.Fsync {
		err = client.Do(ctx, "WAITAOF", 1, 0, 1).Err()
	} else {
		err = client.Do(ctx, "WAIT", 0, 1).Err()
	}
	if err == nil {
		s.durableOn.Store(&able)
	}
	return err
}

// probeDurable returns an error if batches that demand d would not become durable now.
func (s *Store) probeDurable(ctx context.Context, d store.Durability) error {
	if d == store.InMemory {
		return nil
	}
	var short error
	_, err := s.repeat(ctx, probing, func(ctx context.Context, client *redis.Client) ([]any, error) {
		s.durableOn.Store(nil)
		err := s.checkDurable(ctx, client, d)
		if deadline, ok := ctx.Deadline(); ok && err == nil && d != store.Fsync {
			short, err = waitFor(ctx, client, d, max(time.Until(deadline)/2, time.Millisecond))
		}
		return nil, err
	})
	if err == nil && short != nil {
		err = fmt.Errorf("%w: %w", store.ErrRefused, short)
	}
	return err
}

// CheckDurability warns if batches that demand d would be refused, or would not become
// durable now. It changes nothing. If the server is down, that is not its subject.
func (s *Store) CheckDurability(ctx context.Context, d store.Durability) {
	if d == store.InMemory {
		return
	}
	p, err := s.current(ctx)
	if err != nil {
		return
	}
	if err = s.checkDurable(ctx, p.client, d); isReply(err) {
		s.refused(applying, s.diagnose(err))
	}
}
