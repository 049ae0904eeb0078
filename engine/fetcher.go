package engine

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// maxLanes is how many fetches are on their way at once: one in the store,
	// one whose answer is being read, one that waits for the store.
	maxLanes = 3
	// maxFetch bounds the keys of one fetch. The store bounds the bytes of its
	// values: an answer has to arrive within the time of those who wait for it.
	maxFetch = 128
	// unknownNumber is later than every write.
	unknownNumber = math.MaxUint64
)

// fetcher reads from the store and fills the local tier.
//
// Calls for one key share a flight. The first flight leaves as soon as those who
// are ready to run have run; those that arrive while the lanes are busy leave
// together in the next batch.
//
// The store numbers its writes, and a fetch says up to which number it reflects
// them, so that what is older than a write that became known is neither kept nor
// brought back (see coherence.go, and land). All of it happens under one lock;
// hits do not take it.
type fetcher struct {
	store    store.Store
	local    *local
	watch    *watch
	settings *atomic.Pointer[Settings]
	prepare  func(string, *store.Entry) (any, int)
	running  sync.WaitGroup // lanes
	pace     pace
	calls    *calls
	// namespace is for traces.
	namespace string
	hits      hits
	timers    sync.Pool     // of *time.Timer, stopped
	direct    chan struct{} // has a token for each direct fetch under way

	mu      sync.Mutex
	flights map[string]*flight // the ones that calls may join
	pending []*flight          // those not sent, in order
	lanes   int
	closed  bool
	// seen is the highest write number that an answer brought. One that is
	// lower than what was seen when it was asked for means that the store
	// lost writes. epoch is the store's, as of the last answer or event:
	// another one means that the store was emptied, and counts anew.
	seen   uint64
	epoch  string
	events eventChain

	lostRaises atomic.Uint64
	gaps       atomic.Uint64 // how often events were missed
	joined     atomic.Uint64
}

func newFetcher(st store.Store, l *local, w *watch, s *atomic.Pointer[Settings], prepare func(string, *store.Entry) (any, int)) *fetcher {
	return &fetcher{store: st, local: l, watch: w, settings: s, prepare: prepare, flights: make(map[string]*flight), direct: make(chan struct{}, maxDirect), calls: newCalls()}
}

// tellHits sends local hits that the store should hear of, without waiting for
// a fetch that takes them along. A batch of writes may be about to evict.
func (f *fetcher) tellHits() {
	if !f.hits.due(f.local.now()) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lanes < maxLanes && !f.closed {
		f.lanes++
		f.running.Go(f.lane)
	}
}

// lane sends batches until nothing is pending.
func (f *fetcher) lane() {
	for {
		if f.watch != nil {
			f.watch.awaitFirstTry(f.settings.Load().Timeout / 2)
		}
		// Calls that are about to ask would just miss this fetch, so that all who
		// are ready to run go first. On an idle core nobody is, and this takes no
		// time; on a full one a fetch has to wait its turn, and takes more along.
		runtime.Gosched()
		b := f.take()
		if b.isEmpty() {
			return
		}
		f.send(b, store.AnyRoom)
	}
}

// send fetches a batch and hands out the answer.
func (f *fetcher) send(b flightBatch, room store.Room) {
	ctx, cancel := context.WithDeadline(context.Background(), b.deadline)
	ctx, traced := beginBatch(ctx, work{spanFetchBatch, f.namespace, attrKeys, len(b.keys)}, spansOfFlights(b.flights))
	begin := time.Now()
	fetched, err := f.store.Fetch(ctx, b.keys, room, b.uses...)
	took := time.Since(begin)
	traced.endFetches(b.flights, fetched, err)
	cancel()
	f.pace.note(took, err)
	f.calls.add(took, len(b.keys), err)
	f.land(b, fetched, err)
}

// flightBatch is what one lane fetches at once.
type flightBatch struct {
	flights  []*flight
	keys     []string
	uses     []store.Use
	deadline time.Time
	seen     uint64        // fetcher.seen when it was sent
	sent     time.Duration // since local.base
	isDirect bool          // no lane has it
}

func (b *flightBatch) isEmpty() bool { return len(b.flights) == 0 && len(b.uses) == 0 }

// take marks the next batch as sent. Without one the lane ends.
func (f *fetcher) take() flightBatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := flightBatch{seen: f.seen, sent: f.local.now()}
	taken := 0
	share := f.pace.share(len(f.pending))
	for _, fl := range f.pending {
		n := len(b.flights)
		if n == min(maxFetch, share) {
			break
		}
		taken++
		if fl.waiting == 0 {
			continue
		}
		if time.Until(fl.deadline) < f.pace.needs(fl.timeout) {
			fl.err = ErrTimeout
			f.unlist(fl)
			close(fl.done)
			continue
		}
		fl.sent = true
		b.flights = append(b.flights, fl)
		b.keys = append(b.keys, fl.key)
		if fl.deadline.After(b.deadline) {
			b.deadline = fl.deadline
		}
	}
	f.pending = slices.Delete(f.pending, 0, taken)
	if uses := f.hits.take(b.sent); f.settings.Load().RankLocalHits && !f.closed {
		b.uses = uses
	}
	switch {
	case b.isEmpty():
		f.lanes--
	case len(b.flights) == 0:
		b.deadline = time.Now().Add(f.settings.Load().Timeout)
	}
	return b
}

// land hands out the answer to a batch and fills the local tier. What the answer
// had no room for is sent again.
func (f *fetcher) land(b flightBatch, fetched store.Fetched, err error) {
	var left []*flight
	if n := len(fetched.Entries); err == nil && n < len(b.flights) {
		b.flights, left = b.flights[:n], b.flights[n:]
	}
	if err != nil {
		err = readError(err)
	} else {
		f.lostRaises.Add(uint64(fetched.LostRaises))
		for i, e := range fetched.Entries {
			if e != nil {
				b.flights[i].got = f.keep(b.keys[i], e, b.sent, fetched.Number)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// Before observe, which may drop what is on its way: these have arrived.
	listed := make([]bool, len(b.flights))
	for i, fl := range b.flights {
		listed[i] = f.unlist(fl)
	}
	f.leave(left, b.isDirect)
	if err == nil {
		f.observe(fetched.Epoch, fetched.Number, fetched.LastEvent, b.seen)
	}
	for i, fl := range b.flights {
		fl.number, fl.err = fetched.Number, err
		switch {
		case err != nil:
		case !listed[i]:
			// A later flight fills the tier. But what this one brought may be
			// newer all the same, and once it is served nothing older may be.
			f.dropLocked(b.keys[i:i+1], fl.number)
		case fl.number < fl.fence:
		case fl.got == nil:
			f.local.dropOlder(fl.key, unknownNumber)
		default:
			fl.stored = f.local.put(fl.key, fl.got)
		}
		close(fl.done)
	}
}

// leave takes flights back that an answer had no room for. Those of lanes are the
// first of the next batch. Those of a direct fetch have no lane, and the calls that
// joined them ask for themselves.
func (f *fetcher) leave(flights []*flight, isDirect bool) {
	var again []*flight
	for _, fl := range flights {
		if !isDirect && fl.waiting > 0 && !f.closed {
			fl.sent = false
			again = append(again, fl)
			continue
		}
		fl.err = errLeft
		f.unlist(fl)
		close(fl.done)
	}
	f.pending = slices.Insert(f.pending, 0, again...)
}

// keep makes of a fetched entry what the local tier keeps.
func (f *fetcher) keep(key string, e *store.Entry, loaded time.Duration, number uint64) *kept {
	k := &kept{Entry: Entry{Entry: *e}, loaded: loaded, number: number}
	if f.settings.Load().RankLocalHits {
		k.hits = new(atomic.Uint32)
	}
	size := len(key) + len(e.Data) + len(e.ContentType) + entryOverhead
	if f.prepare != nil {
		prepared, preparedSize := f.prepare(key, &k.Entry.Entry)
		k.Prepared = prepared
		size += preparedSize
	}
	k.weight = uint32(min(size, math.MaxUint32))
	return k
}

// close fails what was not sent.
func (f *fetcher) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, fl := range f.pending {
		fl.err = ErrClosed
		f.unlist(fl)
		close(fl.done)
	}
	f.pending = nil
}

// readError says in the engine's terms why a read failed. A fetch that the store
// refused half way is refused: nobody asked for the changes that it may have made.
func readError(err error) error {
	switch {
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	case errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrFateUnknown) && store.CauseOf(err) == store.Permission:
		return &storeError{ErrRefused, err}
	}
	return &storeError{ErrUnavailable, err}
}
