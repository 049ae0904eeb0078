// Package keypath tells which key the path of a request names. It knows nothing of
// Caddy, so that its fuzz target is fast.
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

// ErrEmpty is returned for a key without a character.
var ErrEmpty = errors.New("the key is empty")

// CheckKey says what is wrong with a key that may have so many bytes.
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

// HasControl reports whether s, valid UTF-8, has a character of Unicode
// category Cc.
func HasControl(s string) bool {
	for _, c := range s {
		if unicode.IsControl(c) {
			return true
		}
	}
	return false
}

// HasDotSegment reports whether a path has a segment that clients resolve.
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

// CheckPathPrefix says what is wrong with a path_prefix. It demands one that reads the same in every escaped path,
// so that comparing it is comparing bytes.
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
		return fmt.Errorf("%q must not contain characters that a URL has to percent-encode; write others", prefix)
	}
	return nil
}
