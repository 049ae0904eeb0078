package store

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size says how full a store is.
type Size struct {
	Keys  int
	Bytes int64 // of keys and values together
	// Limits are those in force. Before the first Apply there are none.
	Limits Limits
	// Number is the store's write number, Epoch as in Applied.
	Number uint64
	Epoch  string
}

// Order says from which end a Page begins.
type Order byte

const (
	// Next is the order in which entries would leave.
	Next Order = iota
	// Valued is the reverse: what would stay longest comes first.
	Valued
)

// Listed is an entry with its place in the eviction order.
type Listed struct {
	Key string
	// Rank is the score by which the eviction policy orders the entry, less
	// the clock of the policy: what a Restore takes.
	Rank float64
	// Age is how many writes changed the store since the one that created the
	// entry: insertions, as long as nothing is replaced or deleted.
	Age uint64
	// Size is what the entry counts against limits in bytes.
	Size int64
	// Entry is without its Data in a Page. It must not be changed.
	Entry *Entry
}

// Page is a part of a store in eviction order.
type Page struct {
	Entries []Listed
	// Next leads to what follows; it is empty at the end.
	Next Cursor
	// Number is the store's write number as of the page: less Listed.Age, it is
	// that of the write that created the entry, which no other entry of the
	// same Epoch has.
	Number uint64
	Epoch  string
	// Clock is what the policy counted ranks from as of the page. The sum of
	// both is what an entry's score is as long as nothing moves the entry.
	Clock float64
}

// Cursor is a place in the eviction order. It stays good while entries come,
// go and move: what follows is what lies behind the place by then. The empty
// Cursor is before the first entry.
type Cursor string

// ErrCursor says that a Cursor is not one that a Page returned.
var ErrCursor = errors.New("not a cursor")

// NewCursor returns the place of an entry, by the score that the store keeps
// and the number that breaks ties.
func NewCursor(score float64, insertion uint64) Cursor {
	place := strconv.FormatFloat(score, 'g', -1, 64) + " " + strconv.FormatUint(insertion, 10)
	return Cursor(base64.RawURLEncoding.EncodeToString([]byte(place)))
}

// Place undoes NewCursor.
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
