package engine

import (
	"context"
	"time"
)

// flight is one read of one key from the store, shared by all calls that wait for it
// (single flight).
type flight struct {
	key      string
	deadline time.Time     // the latest of its calls
	timeout  time.Duration // of the call with that deadline, from its arrival
	waiting  int           // calls
	sent     bool
	// fence is the number of the latest write to the key that became known after the
	// flight was sent.
	fence uint64
	spans []*span // of its traced calls that came before it was sent

	done  chan struct{} // closed once the fields below are set
	batch *span         // of the batch that it was sent in, if that is traced
	got   *kept         // nil: absent
	// number is the store's write number at the time of the read.
	number uint64
	stored bool // in the local tier
	err    error
}

// caller is a call that waits for flights. Its span gets links to the spans of the
// batches that it waits for.
type caller struct {
	timeout  time.Duration
	deadline time.Time
	span     *span
}

func newCaller(timeout time.Duration, s *span) caller {
	return caller{timeout, time.Now().Add(timeout), s}
}

// hasTime reports whether the caller has time for one more flight.
func (c *caller) hasTime() bool { return time.Until(c.deadline) > c.timeout/4 }

// get fetches a key. If fresh is set, it joins no flight that was already sent. If it
// leads, it stays until its fetch is answered or its time is over, even if ctx ends.
func (f *fetcher) get(ctx context.Context, key string, fresh bool, c caller) (Answer, error) {
	s, err := f.join(key, fresh, &c)
	for err == nil {
		if s.leads {
			f.lead(&c)
		}
		if err = f.await(ctx, s.flight, &c); err != nil {
			f.giveUp(s)
			break
		}
		c.span.waitedFor(s.flight.batch)
		if !s.isInVain(&c) {
			if s.flight.err != nil {
				return Answer{}, s.flight.err
			}
			return s.flight.answer(f.local.now()), nil
		}
		s, err = f.join(key, fresh, &c)
		s.wasSent = false // one more chance is enough
	}
	return Answer{}, err
}

// await waits until fl has landed.
func (f *fetcher) await(ctx context.Context, fl *flight, c *caller) error {
	select {
	case <-fl.done:
		return nil
	default:
	}
	timer := f.startTimer(time.Until(c.deadline))
	defer f.stopTimer(timer)
	select {
	case <-fl.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return ErrTimeout
	}
}

// isInVain reports whether a landed flight was of no use to the call, and another one
// may help. There are three cases: the flight had no room for the value; the flight was
// sent before the call came, and failed within the time of earlier calls; the flight
// read an older value than a write that was acknowledged before the call came.
func (s *seat) isInVain(c *caller) bool {
	err := s.flight.err
	return err == errNoRoom ||
		err != nil && s.wasSent && c.hasTime() ||
		err == nil && s.flight.number < s.fence
}

// answer returns the answer that the flight brought. The entry may have expired on the way.
func (fl *flight) answer(now time.Duration) Answer {
	if fl.got == nil {
		return Answer{Stored: fl.stored}
	}
	life, expires := fl.got.life(now)
	if expires && life <= 0 {
		return Answer{}
	}
	return Answer{Entry: &fl.got.Entry, Life: life, Stored: fl.stored}
}

func (f *fetcher) startTimer(d time.Duration) *time.Timer {
	timer, _ := f.timers.Get().(*time.Timer)
	if timer == nil {
		return time.NewTimer(d)
	}
	timer.Reset(d)
	return timer
}

func (f *fetcher) stopTimer(timer *time.Timer) {
	timer.Stop()
	f.timers.Put(timer)
}

// seat is a call's place in a flight. The call can use the flight's answer if that
// reflects the writes up to fence.
type seat struct {
	flight *flight
	fence  uint64
	// wasSent says that the flight was sent before the call came.
	wasSent bool
	// isOwn says that the call sends the flight itself.
	isOwn bool
	// leads says that the call begins a lane.
	leads bool
}

// join takes a seat in a flight for key. If there is none to join, it lists a new one.
func (f *fetcher) join(key string, fresh bool, c *caller) (seat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return seat{}, ErrClosed
	}
	if fl := f.joinable(key, fresh); fl != nil {
		return fl.takeSeat(c), nil
	}
	fl := &flight{key: key, done: make(chan struct{})}
	f.flights[key] = fl
	f.pending = append(f.pending, fl)
	s := fl.takeSeat(c)
	if s.leads = f.lanes < maxLanes; s.leads {
		f.lanes++
		f.running.Add(1)
	}
	return s, nil
}

// joinable returns the flight that a call for key may join, if there is one.
func (f *fetcher) joinable(key string, fresh bool) *flight {
	fl := f.flights[key]
	if fl == nil || fresh && fl.sent {
		return nil
	}
	f.joined.Add(1)
	return fl
}

// takeSeat adds a call to those that wait for fl.
func (fl *flight) takeSeat(c *caller) seat {
	fl.waiting++
	if c.span != nil && !fl.sent {
		fl.spans = append(fl.spans, c.span)
	}
	if c.deadline.After(fl.deadline) {
		fl.deadline, fl.timeout = c.deadline, c.timeout
	}
	return seat{flight: fl, fence: fl.fence, wasSent: fl.sent}
}

// giveUp gives up seats. A flight without a waiting call is not sent: take skips it.
func (f *fetcher) giveUp(seats ...seat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range seats {
		fl := s.flight
		fl.waiting--
		if fl.waiting == 0 && !fl.sent {
			f.unlist(fl)
		}
	}
}

// unlist lets no more calls join fl. It reports whether calls could join until now.
func (f *fetcher) unlist(fl *flight) bool {
	if f.flights[fl.key] != fl {
		return false
	}
	delete(f.flights, fl.key)
	return true
}
