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
	// maxLanes is how many fetches of lanes are on their way at once: one runs in the
	// store, the answer of one is being read, and one waits for the store.
	maxLanes = 3
	// maxFetch bounds the keys of one fetch. The store bounds the bytes of the values,
	// since the answer must arrive while its callers still wait.
	maxFetch = 128
	// unknownNumber stands for a write whose number is not known. It is above every
	// number of a write.
	unknownNumber = math.MaxUint64
)

// fetcher reads from the store and fills the local tier.
//
// It is single flight: calls for one key share one read, a flight. A lane sends batches
// of flights, one after the other. The call that begins a lane leads: it sends the first
// batch itself, so a call that meets no other wakes no goroutine. A goroutine sends the
// rest. The first flight is sent as soon as the goroutines that are ready to run have run.
// Flights that arrive while all lanes are busy are sent together in the next batch.
//
// The store numbers its writes, and each fetch tells the number of the last write that
// it saw. So the fetcher neither keeps nor serves an entry that is older than a write
// it knows of (see coherence.go, and land). All of this happens under one lock. Local
// hits do not take it.
type fetcher struct {
	store    store.Store
	local    tier
	watch    *watch
	settings *atomic.Pointer[Settings]
	prepare  func(string, *store.Entry) (any, int)
	// sawExpiring is called when the store brings an entry that expires.
	sawExpiring func()
	running     sync.WaitGroup // lanes
	pace        pace
	calls       *calls
	feed        *feed
	// namespace is for traces.
	namespace string
	hits      hits
	timers    sync.Pool     // of *time.Timer, stopped
	direct    chan struct{} // holds a token for each direct fetch on its way

	mu      sync.Mutex
	flights map[string]*flight // flights that calls may join, by key
	pending []*flight          // flights not yet sent, in order
	lanes   int
	closed  bool
	// seen is the highest write number of all answers. If an answer has a lower number
	// than was seen when it was asked for, the store lost writes.
	seen uint64
	// epoch is the store's in the last answer or event. A new one means that the store
	// was emptied, and begins its numbers again.
	epoch  string
	events eventChain

	lostRaises atomic.Uint64
	gaps       atomic.Uint64 // how often events were missed
	joined     atomic.Uint64
}

func newFetcher(st store.Store, l tier, w *watch, s *atomic.Pointer[Settings], prepare func(string, *store.Entry) (any, int)) *fetcher {
	return &fetcher{store: st, local: l, watch: w, settings: s, prepare: prepare, flights: make(map[string]*flight), direct: make(chan struct{}, maxDirect), calls: newCalls()}
}

// tellHits sends local hits to the store, if some are due. It does not wait for a
// fetch that could carry them, since a batch of writes may be about to evict.
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
	answered := 0
	for {
		f.yield()
		b := f.take(answered)
		if b.isEmpty() {
			return
		}
		f.send(b, store.AnyRoom)
		answered = len(b.keys)
	}
}

// lead sends the first batch of a lane, for a call that begins it. The batch has no more
// time than that call: others of the batch came later, so they have about as much. If the
// call has little time left, lead leaves the batch to a goroutine.
func (f *fetcher) lead(c *caller) {
	hasEnded := false
	defer func() {
		if !hasEnded {
			f.handOver()
		}
		f.running.Done()
	}()
	f.yield()
	if time.Until(c.deadline) < f.pace.needs(c.timeout) {
		return
	}
	b := f.take(0)
	if hasEnded = b.isEmpty(); !hasEnded {
		b.deadline = c.deadline
		f.send(b, store.AnyRoom)
	}
}

// handOver gives a lane to a goroutine, or ends it if nothing is pending.
func (f *fetcher) handOver() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		f.lanes--
		return
	}
	f.running.Go(f.lane)
}

// yield comes before a batch is taken.
func (f *fetcher) yield() {
	if f.watch != nil {
		f.watch.awaitFirstTry(f.settings.Load().Timeout / 2)
	}
	// Let the goroutines that are ready to run go first: their calls can still join this
	// fetch. An idle core has none, so this takes no time there. On a busy core the fetch
	// waits for its turn, and carries more keys.
	runtime.Gosched()
}

// send fetches a batch and hands out the answer.
func (f *fetcher) send(b flightBatch, room store.Room) {
	fetched, err := store.Fetched{}, errPanicked
	// Even after a panic: it may end only the request that leads, not the process. Others
	// that wait, or come later, would join flights that never land.
	defer func() { f.land(b, fetched, err) }()
	ctx, cancel := context.WithDeadline(context.Background(), b.deadline)
	defer cancel()
	ctx, traced := beginBatch(ctx, work{spanFetchBatch, f.namespace, attrKeys, len(b.keys)}, spansOfFlights(b.flights))
	begin := time.Now()
	got, failed := f.store.Fetch(ctx, b.keys, room, b.uses...)
	took := time.Since(begin)
	traced.endFetches(b.flights, got, failed)
	f.pace.note(took, 0, failed)
	f.calls.add(took, len(b.keys), failed)
	if failed == nil {
		if got.Expires != nil {
			f.sawExpiring()
		}
		for i, e := range got.Entries {
			if e != nil {
				var expires time.Time
				if got.Expires != nil {
					expires = got.Expires[i]
				}
				b.flights[i].got = f.keep(b.keys[i], e, expires, b.sent, got.Number)
			}
		}
	}
	fetched, err = got, failed
}

// errPanicked ends flights whose fetch panicked.
var errPanicked = errors.New("the fetch panicked")

// flightBatch is a batch of flights, and of local hits to tell the store, for one fetch.
type flightBatch struct {
	flights  []*flight
	keys     []string
	uses     []store.Use
	deadline time.Time
	seen     uint64        // fetcher.seen when it was sent
	sent     time.Duration // since local.base
	isDirect bool          // sent by a call itself, not by a lane
}

func (b *flightBatch) isEmpty() bool { return len(b.flights) == 0 && len(b.uses) == 0 }

// take takes the next batch, and marks its flights as sent. If the batch is empty, the
// lane ends.
func (f *fetcher) take(answered int) flightBatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := flightBatch{seen: f.seen, sent: f.local.now()}
	taken := 0
	share := f.pace.share(len(f.pending), answered)
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

// land hands out the answer to a batch, and fills the local tier. Flights for which
// the answer had no room are sent again.
func (f *fetcher) land(b flightBatch, fetched store.Fetched, err error) {
	var unanswered []*flight
	if n := len(fetched.Entries); err == nil && n < len(b.flights) {
		b.flights, unanswered = b.flights[:n], b.flights[n:]
	}
	if err != nil {
		err = readError(err)
	} else {
		f.lostRaises.Add(uint64(fetched.LostRaises))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// Before observe, which may set the fence of all flights on their way. These have
	// arrived.
	listed := make([]bool, len(b.flights))
	for i, fl := range b.flights {
		listed[i] = f.unlist(fl)
	}
	f.putBack(unanswered, b.isDirect)
	if err == nil {
		f.observe(fetched.Epoch, fetched.Number, fetched.LastEvent, b.seen)
	}
	for i, fl := range b.flights {
		fl.number, fl.err = fetched.Number, err
		switch {
		case err != nil:
		case !listed[i]:
			// A later flight fills the tier. But this one may have brought a newer
			// value. Once that is served, nothing older may be.
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

// putBack takes back the flights for which an answer had no room. Flights of a lane
// come first in the next batch. Flights of a direct fetch end with errNoRoom: the calls
// that joined them ask again by themselves.
func (f *fetcher) putBack(flights []*flight, isDirect bool) {
	var again []*flight
	for _, fl := range flights {
		if !isDirect && fl.waiting > 0 && !f.closed {
			fl.sent = false
			again = append(again, fl)
			continue
		}
		fl.err = errNoRoom
		f.unlist(fl)
		close(fl.done)
	}
	f.pending = slices.Insert(f.pending, 0, again...)
}

// keep returns a fetched entry as the local tier keeps it.
func (f *fetcher) keep(key string, e *store.Entry, expires time.Time, loaded time.Duration, number uint64) *kept {
	k := &kept{Entry: Entry{Entry: *e}, loaded: loaded, number: number}
	if f.settings.Load().RankLocalHits || !expires.IsZero() {
		k.rare = &rare{}
	}
	if !expires.IsZero() {
		k.rare.expires = max(1, expires.Sub(f.local.base))
	}
	size := cap(e.Data)
	if f.prepare != nil {
		k.Prepared, size = f.prepare(key, &k.Entry.Entry)
	}
	k.weight = weightOf(len(key) + len(e.ContentType) + size)
	return k
}

// close ends the flights that were not sent with ErrClosed.
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
