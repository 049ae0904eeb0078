package main

import (
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, name, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(lines)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATraceIsReadInOrder(t *testing.T) {
	got, err := readTrace(write(t, "mine.txt.gz", "b\na\nb\nlong key\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.name != "mine" || !slices.Equal(got.requests, []int32{0, 1, 0, 2}) || !slices.Equal(got.keys, []string{"b", "a", "long key"}) {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsNoTraceIsAnError(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, write(t, "empty.gz", ""), filepath.Join(t.TempDir(), "none.gz")} {
		if got, err := readTrace(path); err == nil {
			t.Errorf("%s: %+v", filepath.Base(path), got)
		}
	}
}

func TestWithoutTheFolderTheSyntheticLoadsRemain(t *testing.T) {
	o := options{traces: filepath.Join(t.TempDir(), "none")}
	all, err := o.loads()
	if err != nil || len(all) != 1 || len(all[0].rows) == 0 || all[0].file != "eviction-synthetic.svg" {
		t.Errorf("got %+v, %v", all, err)
	}
	o.traces = t.TempDir() // it is there, and lacks the traces
	if _, err := o.loads(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
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
