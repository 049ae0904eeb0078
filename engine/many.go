package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// maxDirect is how many fetches of GetMany are on their way at once.
	maxDirect = 2
	// maxStep bounds the bytes of the values of one such fetch. The calls hold them in
	// memory until their clients have read them.
	maxStep = 1 << 20
)

// errNoRoom ends a flight if its fetch had no room for the value.
var errNoRoom = errors.New("no room for the value")

// GetMany looks for the entries of keys, at most store.MaxBatch, as Get does. It
// answers the keys in their order, as many as have room for their values, in one
// bounded step: the answers are those of the first keys, and another call with the rest
// continues. If the first value has no room, there are no answers and no error. A key
// without an answer does not count as used.
//
// The answers of several calls are no snapshot of the store; nor are those of several
// partitions. There, a key may also count as used without an answer, if an earlier key had
// no room.
func (e *Engine) GetMany(ctx context.Context, keys []string, r Read, room store.Room) ([]Answer, error) {
	settings := e.settings.Load()
	m := many{engine: e, settings: settings, keys: keys, answers: make([]Answer, len(keys)), local: make([]*kept, len(keys))}
	for i, key := range keys {
		m.answers[i], m.local[i] = e.peek(settings, key, r)
	}
	n, err := m.fill(ctx, len(keys), r, room)
	if some := m.missingUntilLocal(); n == 0 && err == nil && some < len(keys) {
		// Local answers behind the first key may have taken its room.
		n, err = m.fill(ctx, some, r, room)
	}
	if err != nil {
		return nil, err
	}
	return m.finish(n, room), nil
}

// many is a call of GetMany.
type many struct {
	engine   *Engine
	settings *Settings
	keys     []string
	answers  []Answer
	local    []*kept // entries of the local tier, fresh or not
}

// missingUntilLocal returns how many keys come before the first one that is fresh
// locally.
func (m *many) missingUntilLocal() int {
	for i := range m.answers {
		if m.answers[i].Source == Local {
			return i
		}
	}
	return len(m.answers)
}

// fill fetches those of the first keys that are not fresh locally. It returns how many
// of the first keys then have an answer.
func (m *many) fill(ctx context.Context, first int, r Read, room store.Room) (int, error) {
	var places []int
	for i := range first {
		if m.answers[i].Source == Local {
			size := int64(len(m.answers[i].Entry.Data))
			room.Enough, room.Most = max(0, room.Enough-size), max(0, room.Most-size)
			continue
		}
		places = append(places, i)
	}
	if len(places) == 0 {
		return first, nil
	}
	room.Enough = min(room.Enough, maxStep)
	groups, err := m.groups(ctx, places, r)
	if err != nil {
		return first, m.staleIfError(ctx, places, r, err)
	}
	// The partitions share the room. Only the first value may exceed it.
	room.Enough /= int64(len(groups))
	var fetching sync.WaitGroup
	others := store.Room{Enough: room.Enough, Most: min(room.Most, room.Enough)}
	for i := range groups[1:] {
		fetching.Go(func() { m.fetchGroup(ctx, &groups[i+1], r, others) })
	}
	m.fetchGroup(ctx, &groups[0], r, room)
	fetching.Wait()
	for i := range groups {
		if err := groups[i].err; err != nil {
			return first, err
		}
		if places := groups[i].places; len(places) > 0 {
			first = min(first, places[0])
		}
	}
	return first, nil
}

// group is the keys of one partition.
type group struct {
	partition *partition
	places    []int // of the keys that have no answer yet
	left      time.Duration
	err       error
}

// groups returns the places by partition. That of the first place comes first.
func (m *many) groups(ctx context.Context, places []int, r Read) ([]group, error) {
	if err := m.engine.mayFetch(r); err != nil {
		return nil, err
	}
	var groups []group
	for _, i := range places {
		p, left, err := m.engine.partitionOf(ctx, m.settings, m.keys[i])
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(groups, func(g group) bool { return g.partition == p })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{partition: p, left: left})
		}
		groups[at].places = append(groups[at].places, i)
	}
	return groups, nil
}

// fetchGroup fetches the keys of one partition.
func (m *many) fetchGroup(ctx context.Context, g *group, r Read, room store.Room) {
	keys := make([]string, len(g.places))
	for n, i := range g.places {
		keys[n] = m.keys[i]
	}
	fetched, err := g.partition.fetchMany(ctx, m.engine.namespace, keys, r, room, g.left)
	if err != nil {
		g.err = m.staleIfError(ctx, g.places, r, err)
		g.places = nil
		return
	}
	for n, answer := range fetched {
		i := g.places[n]
		m.answers[i] = answer
		m.answers[i].WasStale = m.local[i] != nil
	}
	g.places = g.places[len(fetched):]
}

// staleIfError answers the places with stale entries, or returns err if it may not.
func (m *many) staleIfError(ctx context.Context, places []int, r Read, err error) error {
	for _, i := range places {
		var ok bool
		if m.answers[i], ok = m.engine.staleIfError(ctx, m.settings, m.local[i], r); !ok {
			return err
		}
	}
	return nil
}

// finish returns as many of the first answers as have room, and counts local hits.
func (m *many) finish(first int, room store.Room) []Answer {
	var taken int64
	for i := range first {
		a := &m.answers[i]
		if a.Entry == nil {
			continue
		}
		if !room.Has(taken, len(a.Entry.Data)) {
			return m.answers[:i]
		}
		taken += int64(len(a.Entry.Data))
		if a.Source == Local && !a.StaleIfError {
			m.engine.countHit(m.settings, m.keys[i], m.local[i])
		}
	}
	return m.answers[:first]
}

// fetchMany fetches as many of the first keys as have room, within timeout.
func (p *partition) fetchMany(ctx context.Context, namespace string, keys []string, r Read, room store.Room, timeout time.Duration) ([]Answer, error) {
	span := beginCall(ctx, work{spanFetch, namespace, attrKeys, len(keys)})
	d := direct{fetcher: p.fetcher, keys: keys, room: room, fresh: r.NoCache, caller: newCaller(timeout, span)}
	answers, err := d.get(ctx)
	span.endFetch(err, answers...)
	return answers, err
}

// direct is a call that sends its own fetch in place of using a lane. It has many keys,
// and its own bound on the bytes of their values.
type direct struct {
	fetcher *fetcher
	keys    []string
	room    store.Room
	fresh   bool
	caller  caller
	timer   *time.Timer
	failed  bool // a fetch of another call failed, and this call tried again
}

// get returns answers for the first keys; none if the first value has no room.
func (d *direct) get(ctx context.Context) ([]Answer, error) {
	f := d.fetcher
	d.timer = f.startTimer(d.caller.timeout)
	defer f.stopTimer(d.timer)
	if f.watch != nil {
		f.watch.awaitFirstTry(d.caller.timeout / 2)
	}
	for {
		answers, again, err := d.try(ctx)
		if !again {
			return answers, err
		}
	}
}

// try sends a fetch and waits for the answers. It returns again if the first key
// waited for the fetch of another call, and that fetch did not bring it.
func (d *direct) try(ctx context.Context) (answers []Answer, again bool, err error) {
	f := d.fetcher
	select {
	case f.direct <- struct{}{}:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	case <-d.timer.C:
		return nil, false, ErrTimeout
	}
	seats, err := d.sitAndSend()
	if err != nil {
		return nil, false, err
	}
	for i := range seats {
		s := &seats[i]
		select {
		case <-s.flight.done:
			err = s.flight.err
			d.caller.span.waitedFor(s.flight.batch)
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-d.timer.C:
			err = ErrTimeout
		}
		if err == nil && s.flight.number >= s.fence {
			answers = append(answers, s.flight.answer(f.local.now()))
			continue
		}
		f.giveUp(seats[i:]...)
		switch {
		case i > 0 || err == errNoRoom && s.isOwn:
			return answers, false, nil
		case err == nil || err == errNoRoom:
			return nil, true, nil
		case s.wasSent && !d.failed && ctx.Err() == nil && d.caller.hasTime():
			d.failed = true // one more chance is enough
			return nil, true, nil
		}
		return nil, false, err
	}
	return answers, false, nil
}

// sitAndSend takes seats, sends the flights that are new, and gives up its place among the
// direct fetches.
func (d *direct) sitAndSend() ([]seat, error) {
	f := d.fetcher
	defer func() { <-f.direct }()
	seats, own, err := d.sit()
	if err == nil && len(own.flights) > 0 {
		defer f.running.Done()
		f.send(own, d.room)
	}
	return seats, err
}

// sit takes a seat in a flight for each key. If there is no flight to join, it lists a
// new one, which the call sends itself.
func (d *direct) sit() ([]seat, flightBatch, error) {
	f := d.fetcher
	f.mu.Lock()
	defer f.mu.Unlock()
	own := flightBatch{deadline: d.caller.deadline, seen: f.seen, sent: f.local.now(), isDirect: true}
	switch {
	case f.closed:
		return nil, own, ErrClosed
	case time.Until(d.caller.deadline) < f.pace.needs(d.caller.timeout):
		return nil, own, ErrTimeout
	}
	seats := make([]seat, 0, len(d.keys))
	for _, key := range d.keys {
		if fl := f.joinable(key, d.fresh); fl != nil {
			seats = append(seats, fl.takeSeat(&d.caller))
			continue
		}
		fl := &flight{key: key, done: make(chan struct{})}
		s := fl.takeSeat(&d.caller)
		s.isOwn, fl.sent = true, true
		f.flights[key] = fl
		own.flights, own.keys = append(own.flights, fl), append(own.keys, key)
		seats = append(seats, s)
	}
	if len(own.flights) > 0 {
		f.running.Add(1)
	}
	return seats, own, nil
}
