package store

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size says how full a store is.
type Size struct {
	Keys  int
	Bytes int64 // of keys and values together
	// Expiring is how many entries have a time at which they expire. Keys and Bytes count
	// expired entries until they are removed, and Expiring does too.
	Expiring int
	// Limits are the limits in force. Before the first Apply they are zero.
	Limits Limits
	// Number is the store's write number, Epoch as in Applied.
	Number uint64
	Epoch  string
}

// Order says from which end a Page begins.
type Order byte

const (
	// Next is the order in which entries would be evicted.
	Next Order = iota
	// Valued is the reverse: the entry that would stay longest comes first.
	Valued
)

// Listed is an entry with its place in the eviction order.
type Listed struct {
	Key string
	// Rank is the score of the entry in the eviction order, less the clock of the
	// policy. A Restore takes it.
	Rank float64
	// Score is the score itself. In a Page it is that of its cursors: the place of the
	// entry is NewCursor(Score, Page.Number - Age).
	Score float64
	// Age is the number of writes that changed the store since the entry was created.
	Age uint64
	// Size is the number of bytes that the entry counts against limits.
	Size int64
	// Expires is the time of the store's clock at which the entry expires; the zero time
	// for never.
	Expires time.Time
	// Entry has no Data in a Page. It must not be changed.
	Entry *Entry
}

// Page is a part of a store in eviction order. It leaves out entries that have expired, so
// it may have fewer entries than asked for before the end.
type Page struct {
	Entries []Listed
	// Next is where the next page begins. It is empty at the end.
	Next Cursor
	// Number is the store's write number at the time of the page. Number less
	// Listed.Age is the number of the write that created an entry. In one Epoch, no two
	// entries share it.
	Number uint64
	Epoch  string
	// Clock is the clock of the policy at the time of the page. Clock and Rank together
	// are the score of an entry, which stays until something moves the entry.
	Clock float64
}

// Cursor is a place in the eviction order. It stays valid while entries come, go and
// move: a page has the entries that are behind the place when it is read. The empty
// Cursor is before the first entry.
type Cursor string

// ErrCursor says that no Page returned the Cursor, or that no Scan of the process that now
// has the keys returned it.
var ErrCursor = errors.New("not a cursor")

// NewCursor returns the place of an entry with a score and the number that orders equal
// scores.
func NewCursor(score float64, insertion uint64) Cursor {
	place := strconv.FormatFloat(score, 'g', -1, 64) + " " + strconv.FormatUint(insertion, 10)
	return Cursor(base64.RawURLEncoding.EncodeToString([]byte(place)))
}

// Place returns what NewCursor was given, or ErrCursor.
func (c Cursor) Place() (score float64, insertion uint64, err error) {
	place, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil {
		return 0, 0, ErrCursor
	}
	first, second, _ := strings.Cut(string(place), " ")
	score, err = strconv.ParseFloat(first, 64)
	if err != nil || math.IsNaN(score) {
		return 0, 0, ErrCursor
	}
	if insertion, err = strconv.ParseUint(second, 10, 64); err != nil {
		return 0, 0, ErrCursor
	}
	return score, insertion, nil
}
