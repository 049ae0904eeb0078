package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Scan takes one step of a pass over the keys that begin with prefix, as Scan of
// store.Store does. It starts nothing, tells the eviction policy nothing, and takes no
// longer than Settings.Timeout. The errors are those of Size, and store.ErrCursor.
//
// A pass goes through the partitions one after another.
func (e *Engine) Scan(ctx context.Context, prefix, after string, n int) (keys []string, next string, err error) {
	i, place := 0, ""
	if after != "" {
		var number string
		number, place, _ = strings.Cut(after, ":")
		if i, err = strconv.Atoi(number); err != nil || i < 0 || i >= len(e.partitions) {
			return nil, "", store.ErrCursor
		}
	}
	if len(e.partitions) > 1 {
		if places, err := e.places(ctx); places == nil || err != nil {
			return nil, "", err
		}
	}
	keys, next, err = e.scan(ctx, e.partitions[i], prefix, place, n)
	switch {
	case err != nil:
		return nil, "", err
	case next == "" && i == len(e.partitions)-1:
		return keys, "", nil
	case next == "":
		i++
	}
	return keys, strconv.Itoa(i) + ":" + next, nil
}

// places tells the places of keys; nil if the namespace does not exist yet.
func (e *Engine) places(ctx context.Context) (func(key string) int, error) {
	return browse(ctx, e, func(ctx context.Context) (func(string) int, error) { return e.stores.Locate(ctx, false) })
}

// scan is Scan for a partition.
func (e *Engine) scan(ctx context.Context, p *partition, prefix, after string, n int) (keys []string, next string, err error) {
	type step struct {
		keys []string
		next string
	}
	s, err := browse(ctx, e, func(ctx context.Context) (step, error) {
		keys, next, err := p.store.Scan(ctx, prefix, after, n)
		return step{keys, next}, err
	})
	return s.keys, s.next, err
}

const (
	// deletesAStep is how many keys DeletePrefix asks for at once.
	deletesAStep = 500
	// restartPause is the time before DeletePrefix begins a pass again.
	restartPause = 100 * time.Millisecond
	// deletesAtOnce is how many deletions of DeletePrefix wait for the worker at
	// the same time.
	deletesAtOnce = 64
	// crowdedPause is the time between two tries to queue a deletion while the
	// queue is full.
	crowdedPause = 5 * time.Millisecond
)

// DeletePrefix deletes the entries whose keys begin with prefix; "" deletes all. The
// deletions go through the queue, a bounded number at a time, and use at most half of
// it: while other writes need more, DeletePrefix waits. It returns how many entries
// it deleted, also with an error. The errors are those of writes.
//
// Entries that are created meanwhile may stay.
func (e *Engine) DeletePrefix(ctx context.Context, prefix string) (deleted int, err error) {
	if len(e.partitions) > 1 {
		if _, err := e.places(ctx); err != nil {
			return 0, err
		}
	}
	for _, p := range e.partitions {
		n, err := e.deletePrefix(ctx, p, prefix)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// deletePrefix is DeletePrefix for a partition. It begins its pass again if another server
// has the keys by now.
func (e *Engine) deletePrefix(ctx context.Context, p *partition, prefix string) (deleted int, err error) {
	for after := ""; ; {
		keys, next, err := e.scan(ctx, p, prefix, after, deletesAStep)
		if errors.Is(err, store.ErrCursor) {
			after = ""
			select {
			case <-ctx.Done():
				return deleted, context.Cause(ctx)
			case <-time.After(restartPause):
			}
			continue
		}
		if err != nil {
			return deleted, err
		}
		n, err := e.deleteAll(ctx, p, keys)
		deleted += n
		if err != nil || next == "" {
			return deleted, err
		}
		after = next
	}
}

// deleteAll deletes keys of a partition. It stops at the first error.
func (e *Engine) deleteAll(ctx context.Context, p *partition, keys []string) (deleted int, err error) {
	type answer struct {
		result store.Result
		err    error
	}
	answers := make(chan answer)
	waiting := 0
	for len(keys) > 0 || waiting > 0 {
		if len(keys) > 0 && waiting < deletesAtOnce && err == nil {
			key := keys[0]
			keys = keys[1:]
			waiting++
			go func() {
				r, err := e.deletePatiently(ctx, p, key)
				answers <- answer{r, err}
			}()
			continue
		}
		if waiting == 0 {
			break
		}
		a := <-answers
		waiting--
		switch {
		case a.err != nil:
			err = a.err
		case a.result.Outcome == store.Deleted:
			deleted++
			e.deletedByPrefix.Add(1)
		}
	}
	return deleted, err
}

// deletePatiently deletes key once half of the queue has room for it. It gives up
// after Settings.Timeout without room.
func (e *Engine) deletePatiently(ctx context.Context, p *partition, key string) (store.Result, error) {
	settings := e.settings.Load()
	deadline := time.Now().Add(settings.Timeout)
	w := store.Write{Op: store.Delete, Key: key}
	half := queueBounds{max(1, settings.MaxQueueJobs/2), max(w.Size(), settings.MaxQueueBytes/2)}
	for {
		r, err := e.writeTo(ctx, p, w, settings.Timeout, half)
		if !errors.Is(err, ErrQueueFull) || time.Now().After(deadline) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(crowdedPause):
		}
	}
}
