package dump

import (
	"cmp"
	"io"
	"iter"
	"slices"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// File is an export that was read once and is valid.
type File struct {
	Contents Contents
	file     io.ReaderAt
	rows     []row // in eviction order
	hasAges  bool
}

// row says where an entry is in the file. The entries themselves are not held in memory.
type row struct {
	at   span
	age  uint64
	size int64 // of key and value
}

// Open reads a file of size bytes. Mistakes in the file are *LineErrors. check, if not
// nil, returns an error for an invalid key.
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

// Limits returns the limits of the exported store.
func (f *File) Limits() store.Limits {
	h := f.Contents.Header
	return store.Limits{MaxKeys: max(h.MaxKeys, 1), MaxBytes: h.MaxBytes, Eviction: h.Eviction}
}

// fitting returns the entries, in eviction order, that would remain in an empty store
// with these limits after all entries were put into it. Each key gets more bytes longer.
func (f *File) fitting(l store.Limits, more int) []row {
	var rows []row
	var bytes int64
	for _, r := range slices.Backward(f.rows) {
		size := r.size + int64(more)
		if l.MaxBytes > 0 && size > l.MaxBytes {
			continue // too large for the store
		}
		if len(rows) == l.MaxKeys || l.MaxBytes > 0 && bytes+size > l.MaxBytes {
			break
		}
		rows, bytes = append(rows, r), bytes+size
	}
	slices.Reverse(rows)
	return rows
}

// entries returns the entries of rows, and may reorder rows. With byAge, the oldest entry
// comes first. So entries whose scores become equal later are evicted in the order in
// which they were created.
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
