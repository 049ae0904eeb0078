package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestWithoutTracesTheSyntheticLoadsRemain(t *testing.T) {
	t.Chdir(t.TempDir()) // there is no ../traces
	var o options
	all, err := o.loads()
	if err != nil || len(all) != 1 || len(all[0].rows) == 0 || all[0].file != "eviction-synthetic.svg" {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestTracesThatAreGivenAndNotThereAreAnError(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "README.md", "a\na\n")
	for path, want := range map[string]string{
		filepath.Join(folder, "none"): "no such file",
		folder:                        folder + ": no file in it has a name that ends in .txt or .gz",
	} {
		o := options{paths: []string{path}}
		if all, err := o.loads(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", path, all, err)
		}
	}
}

func TestTracesOfAUsersOwnAreReplayedAlone(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "README.md", "no trace")
	write(t, folder, "mine.txt", strings.Repeat("a\nb\n", 5))
	write(t, folder, "other.txt.gz", "c\nc\n")
	write(t, folder, "gli.txt", "not\nthe\npublic\ngli\ngli\n")
	o := options{paths: []string{folder, write(t, t.TempDir(), "single", "d\nd\n")}}
	all, err := o.loads()
	if err != nil || len(all) != 1 || !all[0].own || all[0].file != "" {
		t.Fatalf("got %+v, %v", all, err)
	}
	var names []string
	for _, row := range all[0].rows {
		names = append(names, row.trace.name)
	}
	if !slices.Equal(names, []string{"gli", "mine", "other", "single"}) {
		t.Errorf("got %v", names)
	}
}

// csTrace returns a trace that looks like the public trace cs.
func csTrace() string {
	var b strings.Builder
	for i := range 6781 {
		b.WriteString(strconv.Itoa(i%1409) + "\n")
	}
	return b.String()
}

func TestPublicTracesAreKnownAndDrawnOnlyTogether(t *testing.T) {
	folder := t.TempDir()
	cs := write(t, folder, "cs.txt.gz", csTrace())
	all, err := read([]string{cs}, nil)
	if err != nil || len(all) != 1 || all[0].own || all[0].file != "" || len(all[0].rows) != 2 || all[0].rows[0].capacity != 500 {
		t.Errorf("got %+v, %v", all, err)
	}
	o := options{paths: []string{cs}}
	if all, err := o.loads(); err != nil || len(all) != 2 || all[1].file != "eviction-synthetic.svg" {
		t.Errorf("got %+v, %v", all, err)
	}
	all, err = read([]string{cs}, []int{70})
	if err != nil || len(all) != 1 || !all[0].own || all[0].rows[0].capacity != 70 {
		t.Errorf("with a capacity: %+v, %v", all, err)
	}
}

func TestCapacitiesSuitATrace(t *testing.T) {
	for keys, want := range map[int][]int{1: {1}, 4: {1}, 10: {1, 2}, 100: {1, 5, 20}, 5000: {50, 250, 1000}} {
		numbers := make([]int, 2*keys)
		for i := range numbers {
			numbers[i] = i % keys
		}
		if got := capacitiesFor(newTrace("", numbers), nil); !slices.Equal(got, want) {
			t.Errorf("%d keys: %v, want %v", keys, got, want)
		}
	}
}

func TestWrongCapacitiesAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-capacities", "0", "x"}, {"-capacities", "10,", "x"}, {"-capacities", "1e3", "x"}, {"-capacities", "10"}} {
		if o, err := parseOptions(args); err == nil {
			t.Errorf("%v: %+v", args, o)
		}
	}
	o, err := parseOptions([]string{"-capacities", "100, 10,100", "x", "y"})
	if err != nil || !slices.Equal(o.capacities, []int{10, 100}) || !slices.Equal(o.paths, []string{"x", "y"}) {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestSyntheticLoadsAreTheSameInEveryRun(t *testing.T) {
	a, b := synthetic(1000, 100, 10), synthetic(1000, 100, 10)
	for i := range a {
		if !slices.Equal(a[i].requests, b[i].requests) || !slices.Equal(a[i].keys, b[i].keys) {
			t.Errorf("%s differs from run to run", a[i].name)
		}
		if len(a[i].requests) != 1000 {
			t.Errorf("%s has %d requests", a[i].name, len(a[i].requests))
		}
	}
}
