package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// trace is a sequence of requests, each for one key.
type trace struct {
	name     string
	requests []int32  // places in keys
	keys     []string // each key once
}

// format is at the end of every error about a file.
const format = "a trace is a text file, with or without gzip, with one key a line, in the order of the requests"

// maxLine bounds a line, and so a key.
const maxLine = 64 << 10

// readTrace reads a file with a trace.
func readTrace(path string) (*trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := parseTrace(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%s)", path, err, format)
	}
	t.name = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".txt")
	return t, nil
}

func parseTrace(f io.Reader) (*trace, error) {
	content := bufio.NewReader(f)
	var text io.Reader = content
	if magic, _ := content.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(content)
		if err != nil {
			return nil, err
		}
		text = unzipped
	}
	t := &trace{}
	places := map[string]int32{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := checkLine(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d %w", len(t.requests)+1, err)
		}
		key := lines.Text()
		place, ok := places[key]
		if !ok {
			place = int32(len(t.keys))
			t.keys = append(t.keys, key)
			places[key] = place
		}
		t.requests = append(t.requests, place)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes", len(t.requests)+1, maxLine)
	case err != nil:
		return nil, fmt.Errorf("after line %d: %w", len(t.requests), err)
	case len(t.requests) == 0:
		return nil, errors.New("it is empty")
	case len(t.keys) == len(t.requests):
		return nil, fmt.Errorf("none of its %d lines comes twice, so no cache can hit", len(t.requests))
	}
	return t, nil
}

// checkLine returns an error for a line that cannot be meant as a key.
func checkLine(line []byte) error {
	var entry struct{ Request *struct{} }
	switch {
	case len(line) == 0:
		return errors.New("is empty")
	case !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0:
		return errors.New("is no text")
	case line[0] == '{' && json.Unmarshal(line, &entry) == nil && entry.Request != nil:
		return errors.New("is an entry of Caddy's access log; docs/eviction.md says how to take the keys out")
	}
	return nil
}

// newTrace returns a trace of requests for keys with numbers.
func newTrace(name string, numbers []int) *trace {
	t := &trace{name: name, requests: make([]int32, len(numbers))}
	places := map[int]int32{}
	for i, n := range numbers {
		place, ok := places[n]
		if !ok {
			place = int32(len(t.keys))
			t.keys = append(t.keys, strconv.Itoa(n))
			places[n] = place
		}
		t.requests[i] = place
	}
	return t
}
