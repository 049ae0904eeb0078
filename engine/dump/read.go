package dump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/redis-proxy/caddy-redis-proxy/engine/sniff"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// A LineError is a mistake in a file.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// errEmpty says that a file has at most a part of an export's first line.
var errEmpty = errors.New("the file is empty, or was cut off in its first line")

// Contents describes a file.
type Contents struct {
	Header  Header
	Entries int // number of entries
	// IsWhole says that the file has the last line of a finished export.
	IsWhole bool
	// Partition and After are where a resumed export continues.
	Partition int
	After     store.Cursor
	// End is the length of all complete lines in bytes.
	End int64
}

// span is the place of a line in a file.
type span struct{ offset, length int64 }

// read calls visit for each entry of a file, with the number of its partition. It ignores
// text behind the last line feed: the export ended while it wrote that line.
func read(r io.Reader, visit func(partition int, at span, e Entry) error) (Contents, error) {
	var c Contents
	lines := bufio.NewReaderSize(r, 64<<10)
	// Sniff before reading a line: a file without line feeds would be read as a whole.
	head, err := lines.Peek(sniff.Head)
	if err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	if advice := sniff.Advice(head); advice != "" {
		return c, &LineError{1, fmt.Errorf("%w: %s", errNoExport, advice)}
	}
	for number := 1; ; number++ {
		b, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && number == 1 && beginsHeader(b):
			return c, &LineError{1, errEmpty}
		case errors.Is(err, io.EOF) && number == 1:
			return c, &LineError{1, notHeader()}
		case errors.Is(err, io.EOF):
			return c, nil
		case err != nil:
			return c, err
		}
		at := span{c.End, int64(len(b))}
		c.End += at.length
		if number == 1 {
			if c.Header, err = decodeHeader(b); err != nil {
				return c, &LineError{number, err}
			}
			continue
		}
		if c.IsWhole {
			return c, &LineError{number, errors.New("there is text behind the last line of the export")}
		}
		if len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		l, e, err := decodeLine(b)
		switch {
		case err != nil:
			return c, &LineError{number, err}
		case l.Key != nil:
			c.Entries++
			if err := visit(c.Partition, at, e); err != nil {
				return c, &LineError{number, err}
			}
		case l.After != nil:
			c.After = *l.After
		case l.Partition != nil:
			if *l.Partition != c.Partition+1 || *l.Partition == len(c.Header.Partitions) {
				return c, &LineError{number, fmt.Errorf("partition %d does not follow partition %d, or the first line does not have it", *l.Partition, c.Partition)}
			}
			c.Partition, c.After = *l.Partition, ""
		case l.Entries != c.Entries:
			return c, &LineError{number, fmt.Errorf("the export had %d entries, and the file has %d", l.Entries, c.Entries)}
		default:
			c.IsWhole = true
		}
	}
}
