package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says how a value was sent. It is returned the same way.
type Kind byte

const (
	// Raw is bytes with a content type.
	Raw Kind = 'r'
	// String is text that was sent as a JSON string or a form field. It is stored as
	// its own bytes, without quotes.
	String Kind = 's'
	// JSON is any other JSON value, stored as it was sent.
	JSON Kind = 'j'
)

// MaxContentType is the most bytes that a content type may have.
const MaxContentType = 255

// CheckContentType says why a content type cannot be in a header or in JSON. The empty
// one can. Entries that another program wrote may have any content type.
func CheckContentType(s string) error {
	switch {
	case len(s) > MaxContentType:
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(s), MaxContentType)
	case !utf8.ValidString(s):
		return errors.New("is not valid UTF-8")
	case strings.ContainsFunc(s, isControl):
		return errors.New("has a control character")
	}
	return nil
}

// isControl reports whether no header may have c. A tab is white space in a header.
func isControl(c rune) bool { return c != '\t' && unicode.IsControl(c) }

// Value is what a client stores under a key.
type Value struct {
	Data        []byte
	Kind        Kind
	ContentType string // for Raw only
}

// Entry is a stored value with the version of the write that stored it. It must not be
// changed once another goroutine may see it.
type Entry struct {
	Value
	Version Version
}

// Version identifies one write. The zero Version means that the entry has none yet,
// since another program wrote it.
type Version struct {
	// Number rises with every write of a store.
	Number uint64
	// Tag is random. It tells writes with the same number apart, since a store that was
	// emptied begins its numbers again.
	Tag uint32
}

// String returns the number in hexadecimal, followed by the eight digits of
// the tag.
func (v Version) String() string {
	var b [24]byte
	return string(v.Append(b[:0]))
}

// Append appends what String returns.
func (v Version) Append(b []byte) []byte {
	const hex = "0123456789abcdef"
	b = strconv.AppendUint(b, v.Number, 16)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, hex[v.Tag>>shift&15])
	}
	return b
}

// VersionSet is a set of versions, written for comparison in a store. "" means no
// condition, and "*" any version. Otherwise it has Version.String of each version, with
// a space before, between and after them.
type VersionSet string

// AnyVersion matches every entry that exists.
const AnyVersion VersionSet = "*"

// NewVersionSet returns the set of versions, each as Version.String returns it. A set of
// no versions matches no entry.
func NewVersionSet(versions ...string) VersionSet {
	var b strings.Builder
	b.WriteByte(' ')
	for _, v := range versions {
		b.WriteString(v)
		b.WriteByte(' ')
	}
	return VersionSet(b.String())
}

// Has reports whether v is in the set.
func (s VersionSet) Has(v Version) bool {
	return s == AnyVersion || strings.Contains(string(s), " "+v.String()+" ")
}

// Allows reports whether a write with these conditions may change an entry of
// version v, or an absent one if v is nil (RFC 9110, section 13.1).
func Allows(ifMatch, ifNoneMatch VersionSet, v *Version) bool {
	if ifMatch != "" && (v == nil || !ifMatch.Has(*v)) {
		return false
	}
	return ifNoneMatch == "" || v == nil || !ifNoneMatch.Has(*v)
}
