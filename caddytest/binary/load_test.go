package binary

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// load is a group of writers. Each has keys of its own.
type load struct {
	writers  []*writer
	answered atomic.Int64 // writes that changed something
	cut      atomic.Int64 // requests without an answer, or not sent
	full     atomic.Int64 // answers 503 for want of room in the queue, or for the body
	refused  atomic.Int64 // other answers 503 that say that nothing was changed
	unknown  atomic.Int64 // answers 503 that do not say so
}

type writer struct {
	name   string
	size   int // of the largest values, without the key
	client *client
	ledger *ledger
	random *rand.Rand
	keys   []string
	writes int
}

func newLoad(t testing.TB, c *caddy, writers int, seed uint64, evicts bool) *load {
	t.Helper()
	client := newClient(t, c, writers)
	l := new(load)
	for n := range writers {
		l.writers = append(l.writers, &writer{
			name:   fmt.Sprintf("writer%d", n),
			size:   300,
			client: client,
			ledger: newLedger(evicts),
			random: rand.New(rand.NewPCG(seed, uint64(n))),
		})
	}
	return l
}

// start starts all writers. The function that it returns stops them.
func (l *load) start(t testing.TB) func() {
	writers := make([]func(<-chan struct{}), len(l.writers))
	for i, w := range l.writers {
		writers[i] = func(stop <-chan struct{}) {
			for {
				select {
				case <-stop:
					return
				default:
					l.step(w)
				}
			}
		}
	}
	return background(t, writers...)
}

// noRoom has the words of the answers without room: in the queue, for bodies of one client,
// for all bodies.
var noRoom = []string{"too many writes are waiting", "this client is already sending", "too many large bodies are arriving"}

func (l *load) step(w *writer) {
	a := w.step()
	switch {
	case a.err != nil:
		l.cut.Add(1)
	case a.status != http.StatusServiceUnavailable:
		l.answered.Add(1)
		return
	case a.header.Get("Retry-After") == "":
		w.ledger.object("without Retry-After: %s", a)
	case slices.ContainsFunc(noRoom, func(why string) bool { return strings.Contains(a.body, why) }):
		l.full.Add(1)
	case a.fate() == unchanged:
		l.refused.Add(1)
	default:
		l.unknown.Add(1)
	}
	time.Sleep(5 * time.Millisecond) // a polite client waits before it tries again
}

// awaitAnswered waits for so many more answers.
func (l *load) awaitAnswered(t testing.TB, more int64) {
	t.Helper()
	enough := l.answered.Load() + more
	await(t, "writes are answered", func() bool { return l.answered.Load() >= enough })
}

// check compares the ledgers of the writers with Redis, once no request is on its way any
// more.
func (l *load) check(t testing.TB, s snapshot) {
	t.Helper()
	changes, unsure, known := 0, 0, make(map[string]bool)
	for _, w := range l.writers {
		w.ledger.check(s)
		changes += w.ledger.changes
		unsure += w.ledger.unsure
		for key := range w.ledger.entries {
			known[key] = true
		}
		for n, wrong := range w.ledger.wrong {
			if n == 5 {
				t.Errorf("%s: and %d more", w.name, len(w.ledger.wrong)-n)
				break
			}
			t.Errorf("%s: %s", w.name, wrong)
		}
		w.ledger.wrong = nil
	}
	for key := range s.entries {
		if !known[key] {
			t.Errorf("nobody wrote %q", key)
		}
	}
	// Every change takes one write number, so a difference shows a write that was applied
	// twice.
	if s.number < uint64(changes) || s.number > uint64(changes+unsure) {
		t.Errorf("Redis counts %d changes; %d happened, and perhaps %d more", s.number, changes, unsure)
	}
}

// step sends one request, and records its answer.
func (w *writer) step() answer {
	choice, key := w.random.IntN(100), w.known()
	if key == "" || choice < 55 {
		w.writes++
		key = fmt.Sprintf("%s-%d", w.name, w.writes)
		w.keys = append(w.keys, key)
		if choice < 10 {
			return w.write(http.MethodPut, key)
		}
		return w.write(http.MethodPost, key)
	}
	exists := w.ledger.entries[key].exists
	switch {
	case choice < 75:
		return w.write(http.MethodPut, key)
	case choice < 85:
		return w.write(http.MethodDelete, key)
	case !exists:
		return w.write(http.MethodPost, key)
	case w.ledger.evicts:
		return w.write(http.MethodPut, key)
	}
	a := w.client.send(http.MethodGet, "/cache/"+key, "", "Cache-Control", "no-cache")
	w.ledger.read(key, a)
	return a
}

// known returns a recently written key without a write of unknown fate.
func (w *writer) known() string {
	recent := w.keys[max(0, len(w.keys)-30):]
	if len(recent) == 0 {
		return ""
	}
	key := recent[w.random.IntN(len(recent))]
	if w.ledger.entries[key].pending != nil {
		return ""
	}
	return key
}

func (w *writer) write(method, key string) answer {
	w.writes++
	value := fmt.Sprintf("%s %d %s", key, w.writes, strings.Repeat("x", w.size-w.random.IntN(w.size/10)))
	a := w.client.send(method, "/cache/"+key, value)
	w.ledger.wrote(key, intent{method: method, value: value}, a)
	return a
}

// startDurableRedis starts a Redis that loses no write that it has answered.
func startDurableRedis(t testing.TB) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
}
