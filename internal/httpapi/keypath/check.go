// Package keypath finds the key in the path of a request. It does not import Caddy, which
// keeps its fuzz target fast.
package keypath

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeySize is the largest max_key_size that can be configured.
const MaxKeySize = 64 << 10

// ErrEmpty says that a key is empty.
var ErrEmpty = errors.New("the key is empty")

// CheckKey returns an error if a key is not valid or has more than maxSize bytes.
func CheckKey(key string, maxSize int) error {
	switch {
	case key == "":
		return ErrEmpty
	case len(key) > maxSize:
		return fmt.Errorf("the key has %d bytes; max_key_size allows %d", len(key), maxSize)
	case !utf8.ValidString(key):
		return errors.New("the key is not valid UTF-8")
	case HasControl(key):
		return errors.New("the key has a control character")
	case HasDotSegment(key):
		return errors.New("the key has a . or .. segment, which clients resolve before they send a path")
	}
	return nil
}

// HasControl reports whether s has a control character (Unicode category Cc). s must be
// valid UTF-8.
func HasControl(s string) bool {
	for _, c := range s {
		if unicode.IsControl(c) {
			return true
		}
	}
	return false
}

// HasDotSegment reports whether a path has a segment . or .., which clients resolve.
func HasDotSegment(path string) bool {
	if strings.IndexByte(path, '.') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// CheckPathPrefix returns an error if a path_prefix is not valid. A valid one needs no
// escaping, so it can be compared with an escaped path byte by byte.
func CheckPathPrefix(prefix string) error {
	switch {
	case !strings.HasPrefix(prefix, "/"):
		return fmt.Errorf("%q does not begin with a slash; write a path such as /cache", prefix)
	case prefix != "/" && strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q must not end with a slash; leave it out", prefix)
	case strings.Contains(prefix, "*"):
		return fmt.Errorf("%q must not contain a wildcard; leave it out, it is a prefix by itself", prefix)
	case strings.Contains(prefix, "//") || HasDotSegment(prefix):
		return fmt.Errorf("%q must not have empty, . or .. segments; write the path as clients send it", prefix)
	case (&url.URL{Path: prefix}).EscapedPath() != prefix:
		return fmt.Errorf("%q must not contain characters that a URL has to percent-encode; use other characters", prefix)
	}
	return nil
}
