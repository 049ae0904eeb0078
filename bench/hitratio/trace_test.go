package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write writes a file, with gzip if its name ends in .gz.
func write(t *testing.T, folder, name, content string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	data := []byte(content)
	if strings.HasSuffix(name, ".gz") {
		data = zipped(t, content)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestATraceIsReadInOrder(t *testing.T) {
	for _, tt := range []struct{ file, name, content string }{
		{"mine.txt.gz", "mine", "b\na\nb\nlong key\n"},
		{"mine.2026-01-02.gz", "mine.2026-01-02", "b\na\nb\nlong key\n"},
		{"mine.txt", "mine", "b\na\nb\nlong key\n"},
		{"no end of line", "no end of line", "b\na\nb\nlong key"},
		{"from Windows.txt", "from Windows", "b\r\na\r\nb\r\nlong key\r\n"},
	} {
		got, err := readTrace(write(t, t.TempDir(), tt.file, tt.content))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
		} else if got.name != tt.name || !slices.Equal(got.requests, []int32{0, 1, 0, 2}) || !slices.Equal(got.keys, []string{"b", "a", "long key"}) {
			t.Errorf("%s: got %+v", tt.file, got)
		}
	}
}

func TestAFileThatIsNoTraceIsRefusedWithItsLineAndTheFormat(t *testing.T) {
	half := zipped(t, strings.Repeat("a\nb\n", 100))
	for name, tt := range map[string]struct{ content, want string }{
		"empty":       {"", "it is empty"},
		"empty.gz":    {"", "it is empty"},
		"blank line":  {"a\na\n\na\n", "line 3 is empty"},
		"binary":      {"a\n\x00\x01\n", "line 2 is no text"},
		"Latin-1":     {"a\na\ncaf\xe9\n", "line 3 is no text"},
		"long line":   {"a\na\n" + strings.Repeat("x", maxLine+1), "line 3 is longer than 65536 bytes"},
		"access log":  {`{"level":"info","request":{"method":"GET","uri":"/cache/a"}}` + "\n", "line 1 is an entry of Caddy's access log"},
		"no repeats":  {"1,a\n2,a\n3,b\n", "none of its 3 lines comes twice"},
		"cut.txt":     {string(half[:len(half)-12]), "unexpected EOF"},
		"only a head": {"\x1f\x8b", "EOF"},
	} {
		path := write(t, t.TempDir(), name, tt.content)
		got, err := readTrace(path)
		if err == nil {
			t.Errorf("%s: %+v", name, got)
		} else if s := err.Error(); !strings.HasPrefix(s, path+": ") || !strings.Contains(s, tt.want) || !strings.Contains(s, format) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeyMayBeJSON(t *testing.T) {
	if _, err := readTrace(write(t, t.TempDir(), "json", "{\"id\":1}\n{\"id\":1}\n")); err != nil {
		t.Error(err)
	}
}
