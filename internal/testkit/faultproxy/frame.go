package faultproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// readFrame returns the bytes of one value of the Redis protocol, version 2 or 3: a
// command, a reply or a message.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	err := copyFrame(&b, r)
	return b.Bytes(), err
}

func copyFrame(b *bytes.Buffer, r *bufio.Reader) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	b.Write(line)
	var elements int
	switch line[0] {
	case '$', '!', '=':
		size, err := count(line)
		if err != nil || size < 0 {
			return err
		}
		_, err = io.CopyN(b, r, int64(size)+2)
		return err
	case '*', '~', '>':
		elements, err = count(line)
	case '%':
		elements, err = count(line)
		elements *= 2
	}
	if err != nil {
		return err
	}
	for range elements {
		if err := copyFrame(b, r); err != nil {
			return err
		}
	}
	return nil
}

func count(line []byte) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil {
		return 0, fmt.Errorf("reading the length in %q: %w", line, err)
	}
	return n, nil
}

// commandName returns the first word of a command in capitals.
func commandName(request []byte) string {
	parts := bytes.SplitN(request, []byte("\r\n"), 4)
	if len(parts) < 4 {
		return ""
	}
	return string(bytes.ToUpper(parts[2]))
}
