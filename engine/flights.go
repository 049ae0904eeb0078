package engine

import (
	"context"
	"time"
)

// flight is one read of one key.
type flight struct {
	key      string
	deadline time.Time     // of the call that has the most time
	timeout  time.Duration // what that call had when it came
	waiting  int
	sent     bool
	// fence is the number of the latest write to the key that became known
	// after the flight was sent.
	fence uint64
	spans []*span // of the calls that are traced, until it is sent

	done  chan struct{} // closed when the rest is set
	batch *span         // in which it was sent, if that is traced
	got   *kept         // nil: absent
	// number is the store's write number as of the read.
	number uint64
	stored bool
	err    error
}

// caller is a call that waits for flights. Its span is linked to those of the
// batches that it waits for.
type caller struct {
	timeout  time.Duration
	deadline time.Time
	span     *span
}

func newCaller(timeout time.Duration, s *span) caller {
	return caller{timeout, time.Now().Add(timeout), s}
}

// hasTime reports whether a caller has time for one more flight.
func (c *caller) hasTime() bool { return time.Until(c.deadline) > c.timeout/4 }

// get fetches a key. With fresh it joins no flight that is on its way.
func (f *fetcher) get(ctx context.Context, key string, fresh bool, c caller) (Answer, error) {
	timer := f.startTimer(c.timeout)
	defer f.stopTimer(timer)
	s, err := f.join(key, fresh, &c)
	for err == nil {
		select {
		case <-s.flight.done:
			c.span.waitedFor(s.flight.batch)
			if s.isInVain(&c) {
				s, err = f.join(key, fresh, &c)
				s.wasSent = false // one more chance is enough
				continue
			}
			if s.flight.err != nil {
				return Answer{}, s.flight.err
			}
			return s.flight.answer(), nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-timer.C:
			err = ErrTimeout
		}
		f.giveUp(s)
	}
	return Answer{}, err
}

// isInVain reports whether a seat in a flight that landed was of no use to the
// call, and another one may be. The flight had no room for the value; or it was
// sent before the call came, and failed in the time of those it was sent for; or
// the key was written since, and the write acknowledged.
func (s *seat) isInVain(c *caller) bool {
	err := s.flight.err
	return err == errLeft ||
		err != nil && s.wasSent && c.hasTime() ||
		err == nil && s.flight.number < s.fence
}

// answer is what a flight brought.
func (fl *flight) answer() Answer {
	if fl.got == nil {
		return Answer{Stored: fl.stored}
	}
	return Answer{Entry: &fl.got.Entry, Stored: fl.stored}
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

// seat is a call's place in a flight. The flight's answer must reflect writes
// up to fence to be good for the call.
type seat struct {
	flight *flight
	fence  uint64
	// wasSent says that the flight was sent before the call came.
	wasSent bool
	// isOwn says that the call sends the flight itself.
	isOwn bool
}

// join takes a seat in a flight for key, and lists one if there is none to join.
func (f *fetcher) join(key string, fresh bool, c *caller) (seat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return seat{}, ErrClosed
	}
	fl := f.joinable(key, fresh)
	if fl == nil {
		fl = &flight{key: key, done: make(chan struct{})}
		f.flights[key] = fl
		f.pending = append(f.pending, fl)
		if f.lanes < maxLanes {
			f.lanes++
			f.running.Go(f.lane)
		}
	}
	return fl.takeSeat(c), nil
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

// takeSeat notes a call that waits for fl.
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

// giveUp gives seats up. A flight that nobody waits for any more is not sent:
// take passes over it.
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

// unlist lets no more calls join fl, and reports whether they could until now.
func (f *fetcher) unlist(fl *flight) bool {
	if f.flights[fl.key] != fl {
		return false
	}
	delete(f.flights, fl.key)
	return true
}
