package dump

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	pageEntries = 500
	// Bounds of the entries that are read at once and held in memory. One larger entry
	// may exceed readBytes.
	readEntries = 64
	readBytes   = 4 << 20
	readers     = 4
	// callTimeout bounds each call to the store.
	callTimeout = 10 * time.Second
)

// ErrNothing says that the namespace does not exist.
var ErrNothing = errors.New("this Redis has no namespace")

// ErrReplaced says that an export cannot be finished, since the store was emptied or
// lost writes after the export began.
var ErrReplaced = errors.New("the namespace was emptied during the export, or Redis lost writes; begin a new file")

// ErrOther says that an export cannot be resumed, since the file was begun with another
// store, or the store was emptied since.
var ErrOther = errors.New("the file was begun with another state of the store; begin a new one")

// Source is the part of a store that an export needs.
type Source interface {
	Size(context.Context) (store.Size, error)
	Page(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error)
	Look(ctx context.Context, key string) (*store.Listed, error)
}

// Export writes the entries of a store in eviction order. It changes nothing in the
// store. Other calls wait for it no longer than a short page takes.
//
// The file has each entry exactly once that exists from begin to end of the export. It
// has no entry that was created after the begin. An entry that is evicted or deleted
// meanwhile may be in the file. Each entry has the value that it had when it was read.
type Export struct {
	Source    Source
	Namespace string
	// Check, if set, returns an error for keys to leave out.
	Check func(key string) error
	// Progress, if set, is called with the counts after each entry.
	Progress func(ExportCounts)

	counts  ExportCounts
	header  Header
	after   store.Cursor
	written map[uint64]struct{} // ages of the entries that are done; each age is unique
}

// ExportCounts is the progress of an export.
type ExportCounts struct {
	Entries int
	Total   int   // number of entries at the begin; it may change meanwhile
	Bytes   int64 // written
	// Left counts entries whose keys Check refused.
	Left int
}

// Resume makes Run continue a file that an earlier export began. Call it after Begin. It
// returns the contents of the file. The caller must cut the file off at Contents.End.
func (x *Export) Resume(file io.Reader) (Contents, error) {
	x.written = make(map[uint64]struct{})
	c, err := read(file, func(_ int, _ span, e Entry) error {
		x.written[e.Age] = struct{}{}
		return nil
	})
	if errors.Is(err, errEmpty) {
		x.written = nil // not even the first line is there
		return c, nil
	}
	if err != nil {
		return c, err
	}
	h := c.Header
	if h.Namespace != x.header.Namespace || h.Eviction != x.header.Eviction || h.Epoch != x.header.Epoch || h.Number > x.header.Number {
		return c, ErrOther
	}
	x.header, x.after = h, c.After
	x.counts.Entries, x.counts.Bytes = c.Entries, c.End
	return c, nil
}

// Run writes the file, or the rest of it. If it fails or ctx ends, the file has whole
// lines, and another Export may resume it.
func (x *Export) Run(ctx context.Context, w io.Writer) (ExportCounts, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	err := x.run(ctx, out)
	// Flush after an error too, so another export can resume with every entry that was
	// done. If writing failed, Flush returns the same error.
	if failed := out.Flush(); err == nil {
		err = failed
	}
	return x.counts, err
}

func (x *Export) run(ctx context.Context, out *bufio.Writer) error {
	err := x.writeHeader(out)
	for more := true; err == nil && more; {
		if more, err = x.page(ctx, out); err == nil && more {
			err = x.write(out, fmt.Appendf(nil, "{\"after\":%q}\n", x.after))
		}
		if err == nil {
			err = out.Flush()
		}
	}
	if err != nil {
		return err
	}
	// Values are read after their page. The file gets its end only if the store is still
	// the same after the values of the last page.
	switch size, err := bounded(ctx, x.Source.Size); {
	case err != nil:
		return err
	case size.Epoch != x.header.Epoch:
		return ErrReplaced
	}
	return x.write(out, fmt.Appendf(nil, "{\"end\":true,\"entries\":%d}\n", x.counts.Entries))
}

// Begin begins the export: it has the entries that exist now. Call it first.
func (x *Export) Begin(ctx context.Context) error {
	size, err := bounded(ctx, x.Source.Size)
	switch {
	case err != nil:
		return err
	case size.Limits.MaxKeys == 0:
		return fmt.Errorf("%w %q", ErrNothing, x.Namespace)
	}
	page, err := bounded(ctx, func(ctx context.Context) (store.Page, error) { return x.Source.Page(ctx, "", 1, store.Next) })
	if err != nil {
		return err
	}
	x.counts.Total = size.Keys
	x.header = Header{
		Version: Version, Namespace: x.Namespace, Keys: size.Keys, Number: size.Number, Epoch: size.Epoch, Clock: page.Clock,
		Eviction: size.Limits.Eviction, MaxKeys: size.Limits.MaxKeys, MaxBytes: size.Limits.MaxBytes,
	}
	return nil
}

// writeHeader writes the first line, unless it is there.
func (x *Export) writeHeader(out io.Writer) error {
	if x.written != nil {
		return nil
	}
	x.written = make(map[uint64]struct{})
	b, err := json.Marshal(x.header)
	if err != nil {
		return err
	}
	return x.write(out, append(b, '\n'))
}

func (x *Export) page(ctx context.Context, out io.Writer) (more bool, err error) {
	page, err := bounded(ctx, func(ctx context.Context) (store.Page, error) {
		return x.Source.Page(ctx, x.after, pageEntries, store.Next)
	})
	if err != nil {
		return false, err
	}
	// After a failover that lost writes, the number is lower. An emptied store has
	// another epoch.
	if page.Number < x.header.Number || page.Epoch != x.header.Epoch {
		return false, ErrReplaced
	}
	var group []*Entry
	var bytes int64
	for i := range page.Entries {
		e, ok := x.entry(&page.Entries[i], &page)
		if ok {
			group = append(group, e)
			bytes += page.Entries[i].Size
		}
		if len(group) == readEntries || bytes >= readBytes || i == len(page.Entries)-1 {
			if err := x.writeGroup(ctx, out, group); err != nil {
				return false, err
			}
			group, bytes = group[:0], 0
		}
	}
	x.after = page.Next
	return page.Next != "", nil
}

// entry returns the entry for the file, still without its value. It returns false if the
// entry does not belong into the file.
func (x *Export) entry(l *store.Listed, page *store.Page) (*Entry, bool) {
	created := page.Number - l.Age
	if created > x.header.Number {
		return nil, false
	}
	age := x.header.Number - created
	// A fetch raises an entry, which may then come a second time.
	if _, isWritten := x.written[age]; isWritten {
		return nil, false
	}
	if x.Check != nil && x.Check(l.Key) != nil {
		x.counts.Left++
		x.written[age] = struct{}{}
		return nil, false
	}
	return &Entry{Key: l.Key, Rank: l.Rank + page.Clock - x.header.Clock, Age: age, HasAge: true}, true
}

func (x *Export) writeGroup(ctx context.Context, out io.Writer, group []*Entry) error {
	found := make([]bool, len(group))
	errs := make([]error, len(group))
	next := make(chan int, len(group))
	for i := range group {
		next <- i
	}
	close(next)
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for i := range next {
				listed, err := bounded(ctx, func(ctx context.Context) (*store.Listed, error) {
					return x.Source.Look(ctx, group[i].Key)
				})
				if err == nil && listed != nil {
					group[i].Value, found[i] = listed.Entry.Value, true
				}
				errs[i] = err
			}
		})
	}
	reading.Wait()
	var b []byte
	for i, e := range group {
		if errs[i] != nil {
			return errs[i]
		}
		if !found[i] {
			continue // it was evicted or deleted since it was listed
		}
		b = appendEntry(b[:0], e)
		if err := x.write(out, b); err != nil {
			return err
		}
		x.written[e.Age] = struct{}{}
		x.counts.Entries++
		if x.Progress != nil {
			x.Progress(x.counts)
		}
	}
	return nil
}

func (x *Export) write(out io.Writer, b []byte) error {
	_, err := out.Write(b)
	x.counts.Bytes += int64(len(b))
	return err
}

// bounded calls the store with a deadline.
func bounded[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// String describes the progress in words.
func (c ExportCounts) String() string {
	s := "exported " + strconv.Itoa(c.Entries) + " of " + strconv.Itoa(max(c.Total, c.Entries)) + " entries, " + inBytes(c.Bytes)
	if c.Left > 0 {
		s += "; " + strconv.Itoa(c.Left) + " left out, since no request can name their keys"
	}
	return s
}

// inBytes writes a size in bytes, and a large one in a larger unit as well.
func inBytes(n int64) string {
	exact := strconv.FormatInt(n, 10) + " bytes"
	size, unit := float64(n), ""
	for _, larger := range []string{"KiB", "MiB", "GiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, larger
	}
	if unit == "" {
		return exact
	}
	return fmt.Sprintf("%s (%.1f %s)", exact, size, unit)
}
