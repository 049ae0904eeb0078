package dump

import (
	"cmp"
	"io"
	"iter"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// File is an export that was read once, and found to be right.
type File struct {
	Contents Contents
	file     io.ReaderAt
	rows     []row // in eviction order
	hasAges  bool
}

// row says where an entry is, so that not all have to be held in memory.
type row struct {
	at  span
	age uint64
}

// Open reads a file of size bytes, and finds its mistakes, which are
// *LineErrors. check, if not nil, says what is wrong with a key.
func Open(file io.ReaderAt, size int64, check func(key string) error) (*File, error) {
	f := &File{file: file, hasAges: true}
	var err error
	f.Contents, err = read(io.NewSectionReader(file, 0, size), func(_ int, at span, e Entry) error {
		f.rows = append(f.rows, row{at, e.Age})
		f.hasAges = f.hasAges && e.HasAge
		if check == nil {
			return nil
		}
		return check(e.Key)
	})
	return f, err
}

// Limits are those of the store that was exported.
func (f *File) Limits() store.Limits {
	h := f.Contents.Header
	return store.Limits{MaxKeys: max(h.MaxKeys, 1), MaxBytes: h.MaxBytes, Eviction: h.Eviction}
}

// entries returns the last n entries in eviction order, which are those worth
// most. With byAge the oldest comes first: entries whose scores become equal
// later leave in the order in which they were created.
func (f *File) entries(n int, byAge bool) iter.Seq2[Entry, error] {
	rows := f.rows[max(0, len(f.rows)-n):]
	if byAge && f.hasAges {
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.age, a.age) })
	}
	return func(yield func(Entry, error) bool) {
		for _, r := range rows {
			b := make([]byte, r.at.length)
			_, err := f.file.ReadAt(b, r.at.offset)
			var e Entry
			if err == nil {
				_, e, err = decodeLine(b)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
