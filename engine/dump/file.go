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
	at        span
	age       uint64
	size      int64   // of key and value
	rank      float64 // in a restored partition, its score there
	partition int32   // of the file
}

// Open reads a file of size bytes. Mistakes in the file are *LineErrors. check, if not
// nil, returns an error for an invalid key.
func Open(file io.ReaderAt, size int64, check func(key string) error) (*File, error) {
	f := &File{file: file, hasAges: true}
	var err error
	f.Contents, err = read(io.NewSectionReader(file, 0, size), func(partition int, at span, e Entry) error {
		f.rows = append(f.rows, row{at, e.Age, int64(len(e.Key) + len(e.Value.Data)), e.Rank, int32(partition)})
		f.hasAges = f.hasAges && e.HasAge
		if check == nil {
			return nil
		}
		return check(e.Key)
	})
	// Every partition is in its own order. Together the entries are in the order of one
	// store, as far as partitions are alike: ranks count from the clock of each, and
	// ages from its last write.
	slices.SortStableFunc(f.rows, func(a, b row) int {
		if a.rank != b.rank || !f.hasAges {
			return cmp.Compare(a.rank, b.rank)
		}
		return cmp.Compare(b.age, a.age)
	})
	return f, err
}

// Limits returns the limits of the exported namespace.
func (f *File) Limits() store.Limits {
	h := f.Contents.Header
	return store.Limits{MaxKeys: max(h.MaxKeys, 1), MaxBytes: h.MaxBytes, Eviction: h.Eviction}
}

// split returns copies of the rows for each of n partitions, in eviction order. locate says in
// which one a key belongs.
func (f *File) split(n int, locate func(key string) int) ([][]row, error) {
	if n == 1 {
		return [][]row{slices.Clone(f.rows)}, nil
	}
	parts := make([][]row, n)
	for _, r := range f.rows {
		e, err := f.entry(r)
		if err != nil {
			return nil, err
		}
		to := locate(e.Key)
		parts[to] = append(parts[to], r)
	}
	return parts, nil
}

// fitting returns those of rows that would remain in an empty store with these limits
// after all were put into it. Each key gets more bytes longer. It overwrites rows.
func fitting(rows []row, l store.Limits, more int) []row {
	first := len(rows)
	var bytes int64
	for _, r := range slices.Backward(rows) {
		size := r.size + int64(more)
		if l.MaxBytes > 0 && size > l.MaxBytes {
			continue // too large for the store
		}
		if len(rows)-first == l.MaxKeys || l.MaxBytes > 0 && bytes+size > l.MaxBytes {
			break
		}
		first--
		rows[first], bytes = r, bytes+size
	}
	return rows[first:]
}

// byAge reorders rows, if the file has ages, so that the oldest entry comes first. So
// entries whose scores become equal later are evicted in the order in which they were
// created.
func (f *File) byAge(rows []row) {
	if f.hasAges {
		slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.age, a.age) })
	}
}

// entries returns the entries of rows, with the ranks that the rows have.
func (f *File) entries(rows []row) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, r := range rows {
			e, err := f.entry(r)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// entry reads an entry.
func (f *File) entry(r row) (Entry, error) {
	b := make([]byte, r.at.length)
	if _, err := f.file.ReadAt(b, r.at.offset); err != nil {
		return Entry{}, err
	}
	_, e, err := decodeLine(b)
	e.Rank = r.rank
	return e, err
}
