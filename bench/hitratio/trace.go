package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// trace is a sequence of requests, each for one key.
type trace struct {
	name     string
	requests []int32  // places in keys
	keys     []string // the distinct ones
}

// readTrace reads a gzip file with a key a line, in request order.
func readTrace(path string) (*trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	t := &trace{name: name}
	places := map[string]int32{}
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		place, ok := places[scanner.Text()]
		if !ok {
			place = int32(len(t.keys))
			t.keys = append(t.keys, scanner.Text())
			places[scanner.Text()] = place
		}
		t.requests = append(t.requests, place)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(t.requests) == 0 {
		return nil, fmt.Errorf("%s: it has no request", path)
	}
	return t, nil
}

// newTrace makes a trace of requests for numbers, whatever numbers they are.
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
