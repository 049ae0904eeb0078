package keypath

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzKey checks that a path names exactly the key that is percent-encoded in it.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"hello", "a/b", "a//b", "%2e%2e", "%00", "é%20", "%ff", "cache/a", "%2541"} {
		f.Add(seed)
	}
	const most = 512
	f.Fuzz(func(t *testing.T, escaped string) {
		u, err := url.ParseRequestURI("/cache/" + escaped)
		if err != nil {
			return
		}
		key, where := Request{Sent: u, Current: u, Prefix: "/cache"}.Locate()
		path, _, _ := strings.Cut(escaped, "?")
		want, err := url.PathUnescape(path)
		if where != Item || err != nil || key != want {
			t.Fatalf("%q: got %q, %d, want %q", escaped, key, where, want)
		}
		if CheckKey(key, most) == nil && (key == "" || len(key) > most || !utf8.ValidString(key)) {
			t.Fatalf("%q was taken", key)
		}
	})
}
