package dump

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// ErrMixed says that an export cannot begin, since a change of the eviction policy has not
// reached all partitions.
var ErrMixed = errors.New("the partitions of the namespace have different eviction policies, since eviction was changed a moment ago, or two configurations set different ones; make those equal and reload, and repeat the export")

// Source is the part of a store that an export needs.
type Source interface {
	Size(context.Context) (store.Size, error)
	Page(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error)
	Look(ctx context.Context, key string) (*store.Listed, error)
}

// Export writes the entries of a namespace, partition by partition, in eviction order. It
// changes nothing there. Other calls wait for it no longer than a short page takes.
//
// The file has each entry exactly once that exists from begin to end of the export. It
// has no entry that was created after the begin. An entry that is evicted or deleted
// meanwhile may be in the file. Each entry has the value that it had when it was read.
type Export struct {
	// Sources are the partitions of the namespace.
	Sources   []Source
	Namespace string
	// Check, if set, returns an error for keys to leave out.
	Check func(key string) error
	// Progress, if set, is called with the counts after each entry.
	Progress func(ExportCounts)

	counts ExportCounts
	header Header

	// partition is the one whose entries are being written, after is where they go on,
	// and written has the ages of those that are done; each age is unique.
	partition int
	after     store.Cursor
	written   map[uint64]struct{}
}

// Resume makes Run continue a file that an earlier export began. Call it after Begin. It
// returns the contents of the file. The caller must cut the file off at Contents.End.
func (x *Export) Resume(file io.Reader) (Contents, error) {
	x.written = make(map[uint64]struct{})
	c, err := read(file, func(partition int, _ span, e Entry) error {
		if partition != x.partition {
			x.begin(partition)
		}
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
	if !x.header.continues(c.Header) {
		return c, ErrOther
	}
	if c.Partition != x.partition {
		x.begin(c.Partition) // it has no entries yet
	}
	x.header, x.after = c.Header, c.After
	x.counts.Entries, x.counts.Bytes = c.Entries, c.End
	return c, nil
}

// continues reports whether an export that would begin with h can continue a file that
// begins with had.
func (h *Header) continues(had Header) bool {
	if h.Namespace != had.Namespace || h.Eviction != had.Eviction || len(h.Partitions) != len(had.Partitions) {
		return false
	}
	for i, was := range had.Partitions {
		if is := h.Partitions[i]; !was.isNew() && (is.Epoch != was.Epoch || is.Number < was.Number) {
			return false
		}
	}
	return true
}

// isNew says that the partition had no entry yet.
func (p *Partition) isNew() bool { return p.Number == 0 }

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
	if err == nil {
		err = x.rest(ctx, out)
	}
	for err == nil && x.partition+1 < len(x.Sources) {
		x.begin(x.partition + 1)
		if err = x.write(out, fmt.Appendf(nil, "{\"partition\":%d}\n", x.partition)); err == nil {
			err = x.rest(ctx, out)
		}
	}
	if err != nil {
		return err
	}
	// Values are read after their page. The file gets its end only if all partitions are
	// still the same after the last values.
	for i, source := range x.Sources {
		switch size, err := bounded(ctx, source.Size); {
		case err != nil:
			return err
		case !x.header.Partitions[i].isNew() && size.Epoch != x.header.Partitions[i].Epoch:
			return ErrReplaced
		}
	}
	return x.write(out, fmt.Appendf(nil, "{\"end\":true,\"entries\":%d}\n", x.counts.Entries))
}

// begin begins a partition.
func (x *Export) begin(partition int) {
	x.partition, x.after, x.written = partition, "", make(map[uint64]struct{})
}

// rest writes the rest of the partition.
func (x *Export) rest(ctx context.Context, out *bufio.Writer) error {
	more := !x.header.Partitions[x.partition].isNew()
	for more {
		var err error
		if more, err = x.page(ctx, out); err == nil && more {
			err = x.write(out, fmt.Appendf(nil, "{\"after\":%q}\n", x.after))
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Begin begins the export: it has the entries that exist now. Call it first.
func (x *Export) Begin(ctx context.Context) error {
	sizes, err := sizesOf(ctx, x.Sources)
	if err != nil {
		return err
	}
	limits := limitsOf(sizes)
	if limits.MaxKeys == 0 {
		return fmt.Errorf("%w %q", ErrNothing, x.Namespace)
	}
	x.header = Header{
		Version: Version, Namespace: x.Namespace,
		Eviction: limits.Eviction, MaxKeys: limits.MaxKeys, MaxBytes: limits.MaxBytes,
	}
	for i, source := range x.Sources {
		size := sizes[i]
		if size.Limits.MaxKeys > 0 && size.Limits.Eviction != limits.Eviction {
			return ErrMixed
		}
		page, err := bounded(ctx, func(ctx context.Context) (store.Page, error) { return source.Page(ctx, "", 1, store.Next) })
		if err != nil {
			return err
		}
		x.header.Partitions = append(x.header.Partitions, Partition{Keys: size.Keys, Number: size.Number, Epoch: size.Epoch, Clock: page.Clock})
		x.counts.Total += size.Keys
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
