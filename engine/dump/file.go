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
	at   span
	age  uint64
	size int64 // of key and value
}

// Open reads a file of size bytes, and finds its mistakes, which are
// *LineErrors. check, if not nil, says what is wrong with a key.
func Open(file io.ReaderAt, size int64, check func(key string) error) (*File, error) {
	f := &File{file: file, hasAges: true}
	var err error
	f.Contents, err = read(io.NewSectionReader(file, 0, size), func(_ int, at span, e Entry) error {
		f.rows = append(f.rows, row{at, e.Age, int64(len(e.Key) + len(e.Value.Data))})
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

// fitting returns those of the entries, in eviction order, that would remain if
// all were put one after another into an empty store with these limits. Each key
// gets so many bytes more.
func (f *File) fitting(l store.Limits, more int) []row {
	var rows []row
	var bytes int64
	for _, r := range slices.Backward(f.rows) {
		size := r.size + int64(more)
		if l.MaxBytes > 0 && size > l.MaxBytes {
			continue // has no room anywhere
		}
		if len(rows) == l.MaxKeys || l.MaxBytes > 0 && bytes+size > l.MaxBytes {
			break
		}
		rows, bytes = append(rows, r), bytes+size
	}
	slices.Reverse(rows)
	return rows
}

// entries returns the entries of rows, which it may reorder. With byAge the
// oldest comes first: entries whose scores become equal later leave in the order
// in which they were created.
func (f *File) entries(rows []row, byAge bool) iter.Seq2[Entry, error] {
	if byAge && f.hasAges {
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
