// Package httpapi is the HTTP side of the cache.
package httpapi

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeySize is the largest max_key_size that can be configured.
const MaxKeySize = 64 << 10

// ErrKeyEmpty is returned for a key without a character.
var ErrKeyEmpty = errors.New("the key is empty")

// CheckKey says what is wrong with a key that may have so many bytes.
func CheckKey(key string, maxSize int) error {
	switch {
	case key == "":
		return ErrKeyEmpty
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
