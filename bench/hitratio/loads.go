package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// loads are traces with what is measured on them.
type loads struct {
	title  string
	rows   []row  // of the table
	file   string // of the picture
	points []row  // of the picture; those of a trace stand together
}

// public are the traces that the folder holds, with the capacities of the
// table and of the picture.
var public = []struct {
	name    string
	rows    []int
	picture []int
}{
	{"gli", []int{500, 1000, 2000}, []int{125, 250, 500, 1000, 2000}},
	{"multi1", []int{500, 1000}, nil},
	{"multi2", []int{1000, 2000}, nil},
	{"multi3", []int{1000, 2500}, []int{250, 500, 1000, 2000, 4000}},
	{"cpp", []int{50, 100}, []int{25, 50, 100, 200, 400}},
	{"cs", []int{500, 1000}, nil},
	{"2_pools", []int{200, 450}, nil},
	{"loop", []int{500}, nil},
	{"web12", []int{1000, 3000}, []int{250, 500, 1000, 2000, 4000, 8000}},
	{"orm-busy", []int{1000}, []int{250, 500, 1000, 2000, 4000}},
}

// fromFolder reads the public traces.
func fromFolder(folder string) (loads, error) {
	l := loads{title: "Public traces:", file: "eviction-traces.svg"}
	if _, err := os.Stat(folder); err != nil {
		return l, err
	}
	for _, p := range public {
		t, err := readTrace(filepath.Join(folder, p.name+".txt.gz"))
		if err != nil {
			return l, fmt.Errorf("reading a trace: %v", err) // no sign that the folder is missing
		}
		l.rows = append(l.rows, rows(t, p.rows)...)
		l.points = append(l.points, rows(t, p.picture)...)
	}
	return l, nil
}

// fromArguments reads traces of a user's own.
func fromArguments(paths []string, capacities []int) (loads, error) {
	l := loads{title: "Traces:"}
	for _, path := range paths {
		t, err := readTrace(path)
		if err != nil {
			return l, fmt.Errorf("reading a trace: %w", err)
		}
		l.rows = append(l.rows, rows(t, capacities)...)
	}
	return l, nil
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
