package httpapi

import (
	"bytes"
	"errors"
	"io"
)

// bulkBuffer is how many bytes of a bulk request are read at once. Only a line that is
// longer needs room among the arriving bodies.
const bulkBuffer = 32 << 10

var (
	// errLongLine says that a line is longer than any valid one. It was skipped.
	errLongLine = errors.New("the line is too long")
	// errEndlessLine says that a line is so long that it is not even skipped.
	errEndlessLine = errors.New("the line does not end")
)

// endlessLine is how many bytes of a line are skipped beyond ten times the longest one.
const endlessLine = 1 << 20

// bulkDrain is how many bytes of a bulk request are read that nobody wants any more.
const bulkDrain = 256 << 20

// drain reads what comes behind the last line, and drops it.
func (r *lineReader) drain() {
	for left := bulkDrain; r.err == nil && left > 0; left -= r.end {
		r.start, r.end = 0, 0
		r.fill()
	}
}

// lineReader reads the lines of a bulk request, in bounded memory.
type lineReader struct {
	source io.Reader
	max    int64 // bytes of a line
	// makeRoom is called before a line of more than bulkBuffer bytes is read. The room is
	// given back by leaveRoom, which every call of next calls first.
	makeRoom  func() error
	leaveRoom func()

	buffer     [bulkBuffer]byte
	start, end int
	number     int   // of the last line, from 1
	err        error // of source
}

// next returns the next line that is not blank, or that is one too many, without its line feed. Its bytes are valid
// until the next call; if isOwned is set, they belong to the caller. The error is
// errLongLine, io.EOF after the last line, or an error of source or makeRoom. A line that
// the error of source cut off is not returned.
func (r *lineReader) next() (line []byte, isOwned bool, err error) {
	r.leaveRoom()
	for {
		line, isOwned, err = r.any()
		switch {
		case err == errLongLine:
			r.number++
			return nil, false, err
		case err != nil:
			return nil, false, err
		}
		r.number++
		if len(bytes.TrimLeft(line, " \t\r")) > 0 || r.number > maxBulkLines {
			return line, isOwned, nil
		}
	}
}

// any returns the next line, blank or not.
func (r *lineReader) any() ([]byte, bool, error) {
	searched := 0
	for {
		held := r.buffer[r.start:r.end]
		if i := bytes.IndexByte(held[searched:], '\n'); i >= 0 {
			i += searched
			r.start += i + 1
			return r.checked(held[:i])
		}
		searched = len(held)
		switch {
		case r.err == io.EOF && searched > 0:
			r.start = r.end
			return r.checked(held)
		case r.err != nil:
			return nil, false, r.err
		case searched == len(r.buffer):
			return r.long()
		}
		if r.start > 0 {
			copy(r.buffer[:], held)
			r.start, r.end = 0, searched
		}
		r.fill()
	}
}

func (r *lineReader) checked(line []byte) ([]byte, bool, error) {
	if int64(len(line)) > r.max {
		return nil, false, errLongLine
	}
	return line, false, nil
}

// fill reads more bytes behind those in the buffer.
func (r *lineReader) fill() {
	n, err := r.source.Read(r.buffer[r.end:])
	r.end += n
	r.err = err
}

// long returns a line of which the first bytes fill the buffer.
func (r *lineReader) long() ([]byte, bool, error) {
	if r.max > int64(len(r.buffer)) {
		if err := r.makeRoom(); err != nil {
			return nil, false, err
		}
	}
	var line []byte
	length := int64(0)
	for {
		held := r.buffer[r.start:r.end]
		i := bytes.IndexByte(held, '\n')
		part := held
		if i >= 0 {
			part = held[:i]
		}
		if length += int64(len(part)); length > r.max {
			line = nil
			r.leaveRoom() // the rest is skipped
			if length > 10*r.max+endlessLine {
				return nil, false, errEndlessLine
			}
		} else {
			line = append(line, part...)
		}
		switch {
		case i >= 0:
			r.start += i + 1
		case r.err == nil:
			r.start, r.end = 0, 0
			r.fill()
			continue
		case r.err == io.EOF:
			r.start, r.end = 0, 0
		default:
			return nil, false, r.err
		}
		if length > r.max {
			return nil, false, errLongLine
		}
		return line, true, nil
	}
}
