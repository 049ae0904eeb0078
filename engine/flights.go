package engine

import (
	"context"
	"time"
)

// flight is one read of one key.
type flight struct {
	key      string
	first    *flight       // of those that its call listed, which are not parted
	deadline time.Time     // of the call that has the most time
	timeout  time.Duration // what that call had when it came
	waiting  int
	sent     bool
	// fence is the number of the latest write to the key that became known
	// after the flight was sent.
	fence uint64
	waits []*span // of the calls that are traced, until it is sent

	done  chan struct{} // closed when the rest is set
	batch *span         // in which it was sent, if that is traced
	got   *kept         // nil: absent
	// number is the store's write number as of the read.
	number uint64
	stored bool
	err    error
}

// get fetches keys, and puts the answers into answers, which has the same
// length. With fresh it joins no flight that is on its way. The call's span,
// wait, is linked to those of the batches that it waits for.
func (f *fetcher) get(ctx context.Context, keys []string, answers []Answer, fresh bool, timeout time.Duration, wait *span) error {
	timer := f.startTimer(timeout)
	defer f.stopTimer(timer)
	deadline := time.Now().Add(timeout)
	var one [1]seat
	seats, err := f.join(one[:0], keys, fresh, deadline, timeout, wait)
	if err != nil {
		return err
	}
	for i := 0; i < len(seats); {
		s := &seats[i]
		var err error
		again := false
		select {
		case <-s.flight.done:
			err = s.flight.err
			wait.waitedFor(s.flight.batch)
			// The flight was sent before this call came. It failed in the time
			// of those it was sent for; or the key was written, and the write
			// acknowledged, since.
			again = s.wasSent && err != nil && time.Until(deadline) > timeout/4 ||
				err == nil && s.flight.number < s.fence
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-timer.C:
			err = ErrTimeout
		}
		if again {
			if err = f.rejoin(seats[i:], keys[i:], fresh, deadline, timeout, wait); err == nil {
				continue
			}
		}
		if err != nil {
			f.leave(seats[i:])
			return err
		}
		if got := s.flight.got; got != nil {
			answers[i] = Answer{Entry: &got.Entry, Stored: s.flight.stored}
		}
		i++
	}
	return nil
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
}

// join appends a seat in a flight for each key. What is listed under one lock
// is sent together, as far as it fits into one fetch.
func (f *fetcher) join(seats []seat, keys []string, fresh bool, deadline time.Time, timeout time.Duration, wait *span) ([]seat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	var first *flight
	for _, key := range keys {
		fl := f.flights[key]
		if fl == nil || fresh && fl.sent {
			fl = &flight{key: key, done: make(chan struct{})}
			if first == nil {
				first = fl
			}
			fl.first = first
			f.flights[key] = fl
			f.pending = append(f.pending, fl)
			if f.lanes < maxLanes {
				f.lanes++
				f.running.Go(f.lane)
			}
		} else {
			f.joined.Add(1)
		}
		fl.waiting++
		if wait != nil && !fl.sent {
			fl.waits = append(fl.waits, wait)
		}
		if deadline.After(fl.deadline) {
			fl.deadline, fl.timeout = deadline, timeout
		}
		seats = append(seats, seat{fl, fl.fence, fl.sent})
	}
	return seats, nil
}

// rejoin takes new seats for the first of the given ones, and for those behind
// it whose flights have failed. One more chance is enough.
func (f *fetcher) rejoin(seats []seat, keys []string, fresh bool, deadline time.Time, timeout time.Duration, wait *span) error {
	again, places := keys[:1:1], []int{0}
	for i := 1; i < len(seats); i++ {
		select {
		case <-seats[i].flight.done:
			if seats[i].wasSent && seats[i].flight.err != nil {
				again, places = append(again, keys[i]), append(places, i)
			}
		default:
		}
	}
	joined, err := f.join(nil, again, fresh, deadline, timeout, wait)
	if err != nil {
		return err
	}
	for n, i := range places {
		seats[i] = seat{flight: joined[n].flight, fence: joined[n].fence}
	}
	return nil
}

// leave gives seats up. A flight that nobody waits for any more is not sent:
// take passes over it.
func (f *fetcher) leave(seats []seat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range seats {
		fl := s.flight
		fl.waiting--
		if fl.waiting > 0 || fl.sent {
			continue
		}
		f.unlist(fl)
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
