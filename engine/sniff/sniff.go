// Package sniff recognizes common formats in data that should be JSON. Errors can then
// name the format.
package sniff

import (
	"bytes"
	"regexp"
)

// Head is the number of bytes that Advice reads.
const Head = 512

// magics are the first bytes of some formats. A magic comes before any shorter one that
// it begins with.
var magics = []struct{ magic, advice string }{
	{"\xef\xbb\xbf", "it begins with a byte order mark (U+FEFF); leave that out"},
	{"\xff\xfe\x00\x00", isUTF32},
	{"\x00\x00\xfe\xff", isUTF32},
	{"\xff\xfe", isUTF16},
	{"\xfe\xff", isUTF16},
	{"\x1f\x8b", "it is compressed with gzip; decompress it first"},
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd; decompress it first"},
	{"\x04\x22\x4d\x18", "it is compressed with lz4; decompress it first"},
	{"\xfd7zXZ\x00", "it is compressed with xz; decompress it first"},
	{"BZh", "it is compressed with bzip2; decompress it first"},
	{"PK\x03\x04", "it is a ZIP archive; unpack it first"},
	{"REDIS0", "it is a snapshot of Redis (RDB); start a Redis with it"},
	{"'", "it begins with a single quote, which some shells do not take away; put it into double quotes, and a backslash before those within"},
}

const (
	isUTF16 = "it is UTF-16; convert it to UTF-8"
	isUTF32 = "it is UTF-32; convert it to UTF-8"
)

var (
	html      = regexp.MustCompile(`(?i)^\s*<(!doctype html|html|head|body)\b`)
	xml       = regexp.MustCompile(`^\s*<\?xml\b`)
	multipart = regexp.MustCompile(`(?i)^--\S+\r?\ncontent-(disposition|type):`)
	commands  = regexp.MustCompile(`^\*[0-9]+\r\n\$[0-9]+\r\n`)
)

// Advice names the format of data that begins with b, and says how to turn it into JSON.
// It returns "" for an unknown format, and for bytes that JSON may begin with.
func Advice(b []byte) string {
	b = b[:min(len(b), Head)]
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.advice
		}
	}
	switch {
	case len(b) >= 4 && hasNULs(b, 1, 1, 1, 0), len(b) >= 4 && hasNULs(b, 0, 1, 1, 1):
		return isUTF32
	case len(b) >= 4 && hasNULs(b, 1, 0, 1, 0), len(b) >= 4 && hasNULs(b, 0, 1, 0, 1):
		return isUTF16
	case html.Match(b):
		return "it is HTML, perhaps the page of an error"
	case xml.Match(b):
		return "it is XML"
	case multipart.Match(b):
		return "it is a multipart form (curl -F, or FormData in a browser)"
	case commands.Match(b):
		return "it is an append-only file of Redis; start a Redis with it"
	}
	return ""
}

// hasNULs reports whether b begins with NULs where there is a 1. The first two
// characters of JSON are ASCII.
func hasNULs(b []byte, pattern ...byte) bool {
	for i, isNUL := range pattern {
		if (b[i] == 0) != (isNUL == 1) {
			return false
		}
	}
	return true
}
