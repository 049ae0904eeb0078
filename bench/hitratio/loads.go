package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// loads are traces with the rows and the picture to measure on them.
type loads struct {
	title  string
	own    bool   // a user's traces, not those of docs/eviction.md
	rows   []row  // of the table
	file   string // of the picture, or ""
	points []row  // of the picture; those of a trace are together
}

// public has the traces of docs/eviction.md, with the capacities of the table and of the
// picture. A file with the same name and other requests is not one of them.
var public = []struct {
	name           string
	requests, keys int
	rows           []int
	picture        []int
}{
	{"gli", 6015, 2529, []int{500, 1000, 2000}, []int{125, 250, 500, 1000, 2000}},
	{"multi1", 15858, 2606, []int{500, 1000}, nil},
	{"multi2", 26311, 5684, []int{1000, 2000}, nil},
	{"multi3", 30241, 7454, []int{1000, 2500}, []int{250, 500, 1000, 2000, 4000}},
	{"cpp", 9047, 1223, []int{50, 100}, []int{25, 50, 100, 200, 400}},
	{"cs", 6781, 1409, []int{500, 1000}, nil},
	{"2_pools", 100000, 9939, []int{200, 450}, nil},
	{"loop", 505500, 1011, []int{500}, nil},
	{"web12", 95607, 13756, []int{1000, 3000}, []int{250, 500, 1000, 2000, 4000, 8000}},
	{"orm-busy", 2000000, 60734, []int{1000}, []int{250, 500, 1000, 2000, 4000}},
}

// read returns the traces at paths, which are files or folders: public ones, and others.
// The given capacities are for all traces. Without them, each trace gets suitable ones.
func read(paths []string, capacities []int) ([]loads, error) {
	var traces []*trace
	for _, path := range paths {
		files, err := filesAt(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			t, err := readTrace(file)
			if err != nil {
				return nil, err
			}
			traces = append(traces, t)
		}
	}

	known := loads{title: "Public traces:", file: "eviction-traces.svg"}
	for _, p := range public {
		i := slices.IndexFunc(traces, func(t *trace) bool {
			return t.name == p.name && len(t.requests) == p.requests && len(t.keys) == p.keys
		})
		if i < 0 || capacities != nil {
			known.file = "" // the picture shows all of them or is not drawn
			continue
		}
		known.rows = append(known.rows, rows(traces[i], p.rows)...)
		known.points = append(known.points, rows(traces[i], p.picture)...)
		traces = slices.Delete(traces, i, i+1)
	}
	others := loads{title: "Traces:", own: true}
	for _, t := range traces {
		others.rows = append(others.rows, rows(t, capacitiesFor(t, capacities))...)
	}

	var found []loads
	for _, l := range []loads{known, others} {
		if len(l.rows) > 0 {
			found = append(found, l)
		}
	}
	return found, nil
}

// filesAt returns path, or the traces in the folder path.
func filesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		if entry.IsDir() || !strings.HasSuffix(file, ".txt") && !strings.HasSuffix(file, ".gz") {
			fmt.Fprintf(os.Stderr, "%s is left out: only files whose names end in .txt or .gz are read from a folder\n", file)
			continue
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file in it has a name that ends in .txt or .gz", path)
	}
	return files, nil
}

// capacitiesFor returns the given capacities, or 1 %, 5 % and 20 % of the keys of t. With
// room for all keys, all policies would be equal.
func capacitiesFor(t *trace, given []int) []int {
	keys := len(t.keys)
	for _, c := range given {
		if c >= keys {
			fmt.Fprintf(os.Stderr, "%s: all of its %d keys fit into a capacity of %d: nothing is evicted, and no policy differs from another\n", t.name, keys, c)
		}
	}
	if given != nil {
		return given
	}
	suitable := []int{max(keys/100, 1), max(keys/20, 1), max(keys/5, 1)}
	return slices.Compact(suitable)
}

// invented returns the synthetic loads.
func invented() loads {
	const loop = 1100
	l := loads{title: "Synthetic loads:", file: "eviction-synthetic.svg"}
	for _, t := range synthetic(200_000, 20_000, loop) {
		if t.name == "loop" {
			l.rows = append(l.rows, rows(t, []int{500, 1000})...)
			l.points = append(l.points, rows(t, []int{125, 250, 500, 1000, loop, 2000})...)
			continue
		}
		l.rows = append(l.rows, rows(t, []int{200, 1000, 5000})...)
		l.points = append(l.points, rows(t, []int{125, 250, 500, 1000, 2000, 4000})...)
	}
	return l
}

func rows(t *trace, capacities []int) []row {
	var all []row
	for _, c := range capacities {
		all = append(all, row{t, c})
	}
	return all
}
