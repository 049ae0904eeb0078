package binary

import (
	"fmt"
	"net/http"
	"strconv"
)

// ledger records the answers to one writer about its keys. Only this writer writes them.
type ledger struct {
	// evicts says that entries may be evicted, oldest first. No client may read then.
	evicts bool
	// losesRaises says that Redis was killed. A read that was on its way is then repeated,
	// and the repetition raises nothing.
	losesRaises bool

	entries map[string]*account
	changes int      // writes that were acknowledged, or turned out to be applied
	unsure  int      // writes of unknown fate whose entries were evicted before a check
	wrong   []string // impossible answers
}

// account records the answers about one key.
type account struct {
	exists    bool
	value     string
	etag      string
	insertion uint64 // 0: not known
	rank      int

	// A write of unknown fate, and the number of reads since. The writer sends no other
	// write of the key until the fate is known: the write may still be on its way.
	pending *intent
	reads   int
}

// intent is the change that a write wants.
type intent struct {
	method string
	value  string
}

func newLedger(evicts bool) *ledger {
	return &ledger{evicts: evicts, entries: make(map[string]*account)}
}

func (l *ledger) object(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// wrote records the answer to a write of key.
func (l *ledger) wrote(key string, w intent, a answer) {
	e := l.entries[key]
	if e == nil {
		e = new(account)
		l.entries[key] = e
	}
	switch a.fate() {
	case unknown:
		e.pending = &w
		return
	case unchanged:
		return
	}

	// With evictions, an entry may be gone.
	mayExist, mayBeAbsent := e.exists, !e.exists || l.evicts
	switch {
	case a.status == http.StatusCreated && w.method != http.MethodDelete && mayBeAbsent:
		l.changes++
		*e = account{exists: true, value: w.value, etag: a.header.Get("Etag"), insertion: numberOf(a.header.Get("Etag"))}
	case a.status == http.StatusOK && w.method == http.MethodPut && mayExist:
		l.changes++
		e.value, e.etag = w.value, a.header.Get("Etag")
	case a.status == http.StatusNoContent && w.method == http.MethodDelete && mayExist:
		l.changes++
		*e = account{}
	case a.status == http.StatusNotFound && w.method == http.MethodDelete && mayBeAbsent:
		*e = account{}
	default:
		l.object("%s of %q, which exists: %v: %s", w.method, key, e.exists, a)
	}
}

// read records the answer to a read of key that skipped the local tier.
func (l *ledger) read(key string, a answer) {
	e := l.entries[key]
	switch {
	case a.err != nil || a.status == http.StatusServiceUnavailable:
		e.reads++
	case a.status != http.StatusOK || a.body != e.value || a.header.Get("Etag") != e.etag:
		l.object("GET of %q was answered %d %.40q %s, after %.40q %s was acknowledged",
			key, a.status, a.body, a.header.Get("Etag"), e.value, e.etag)
	default:
		e.rank++
	}
}

// check compares the ledger with the entries in Redis, once no write is on its way any more.
// Every fate is known then.
func (l *ledger) check(s snapshot) {
	for key, e := range l.entries {
		found, there := s.entries[key]
		if e.pending != nil {
			l.resolve(key, e, found, there, s)
			continue
		}
		switch {
		case !e.exists && !there:
		case !e.exists:
			l.object("%q is there with %.40q, and should be absent", key, found.value)
		case !there && l.evicts && e.insertion < s.oldest:
			*e = account{} // evicted, like all entries of this age
		case !there:
			l.object("the acknowledged %q is lost: inserted as %d, the oldest entry is %d", key, e.insertion, s.oldest)
		case found.value != e.value || found.etag != e.etag:
			l.object("%q has %.40q %s, acknowledged was %.40q %s", key, found.value, found.etag, e.value, e.etag)
		case found.rank < e.rank && !l.losesRaises, found.rank > e.rank+e.reads:
			l.object("%q has rank %d, after %d reads and %d of unknown fate", key, found.rank, e.rank, e.reads)
		default:
			e.rank, e.reads = found.rank, 0
		}
	}
}

// resolve finds out the fate of a write.
func (l *ledger) resolve(key string, e *account, found stored, there bool, s snapshot) {
	w := e.pending
	e.pending = nil
	untouched := there == e.exists && (!there || found.value == e.value && found.etag == e.etag)
	switch {
	case untouched:
		// An insertion may have been applied, and evicted since.
		if !there && w.method != http.MethodDelete && l.evicts {
			l.unsure++
		}
	case there && w.method != http.MethodDelete && found.value == w.value:
		l.changes++
		*e = account{exists: true, value: found.value, etag: found.etag, insertion: found.insertion}
	case !there && w.method == http.MethodDelete && !l.evicts:
		l.changes++
		*e = account{}
	case !there && l.evicts && (w.method == http.MethodDelete || e.insertion < s.oldest):
		l.unsure++
		*e = account{}
	default:
		l.object("%q is there: %v, with %.40q, after %.40q was acknowledged and %s of %.40q has an unknown fate",
			key, there, found.value, e.value, w.method, w.value)
	}
	if there {
		e.rank, e.reads = found.rank, 0
	}
}

// numberOf returns the write number in an ETag.
func numberOf(etag string) uint64 {
	const quotesAndTag = 1 + 8 + 1
	if len(etag) <= quotesAndTag {
		return 0
	}
	n, _ := strconv.ParseUint(etag[1:len(etag)-9], 16, 64)
	return n
}
