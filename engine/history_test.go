package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// call is one call of an engine, with its times and its result.
type call struct {
	client   int
	op       store.Op // 0 for a read
	key      string
	value    string        // the value that it writes; no two calls write the same
	match    store.Version // of IfMatch
	from, to int64
	result   store.Result
	unknown  bool // a write that may or may not have happened
	found    *store.Entry
	ttl      time.Duration // of the entry that it writes; 0 for ever
	advances bool          // it lets a life pass for all entries
}

func (c *call) changed() bool {
	switch c.result.Outcome {
	case store.Created, store.Replaced, store.Deleted:
		return true
	}
	return false
}

// happening is one change that the store reported.
type happening struct {
	what   string
	key    string
	number uint64
	batch  uint64 // the write number after its batch
	heard  int64  // when the report came
}

// reports collects the events of a namespace from Redis itself.
type reports struct {
	mu   sync.Mutex
	list []happening
	last uint64
	// payloads are the events so far, if several servers send them; they may then come
	// in any order.
	payloads map[string]bool
}

// listen begins to collect. It returns when no event will be missed.
func listen(t *testing.T, client *redis.Client, channel string, clock func() int64) *reports {
	t.Helper()
	r := new(reports)
	listenInto(t, r, client, channel, clock)
	return r
}

// listenInto is listen for one of several servers.
func listenInto(t *testing.T, r *reports, client *redis.Client, channel string, clock func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := client.Subscribe(ctx, channel)
	if _, err := s.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			m, err := s.ReceiveMessage(ctx)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("listening to events: %v", err)
				}
				return
			}
			if err := r.add(m.Payload, clock()); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		s.Close()
		running.Wait()
	})
}

func (r *reports) add(payload string, heard int64) error {
	var event struct {
		Number  uint64
		Changes [][3]any
	}
	if err := json.Unmarshal([]byte(payload), &event); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.payloads[payload] {
		return nil
	}
	if r.payloads != nil {
		r.payloads[payload] = true
	}
	for _, c := range event.Changes {
		h := happening{what: c[0].(string), key: c[1].(string), number: uint64(c[2].(float64)), batch: event.Number, heard: heard}
		// A write and what it evicts have one number.
		if h.number < r.last && r.payloads == nil || h.number > h.batch {
			return fmt.Errorf("number %d of a change in batch %d came after %d", h.number, h.batch, r.last)
		}
		r.last = max(r.last, h.number)
		r.list = append(r.list, h)
	}
	return nil
}

func (r *reports) lastNumber() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// stopwatch counts nanoseconds.
func stopwatch() func() int64 {
	begin := time.Now()
	return func() int64 { return int64(time.Since(begin)) }
}
