package sniff_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/redis-proxy/caddy-redis-proxy/engine/sniff"
)

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wide encodes s in units of so many bytes, the most significant first or last.
func wide(s string, size int, isBig bool) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		unitBytes := make([]byte, size)
		low, high := 0, 1
		if isBig {
			low, high = size-1, size-2
		}
		unitBytes[low], unitBytes[high] = byte(unit), byte(unit>>8)
		b = append(b, unitBytes...)
	}
	return string(b)
}

func TestAdvice(t *testing.T) {
	const object = `{"value": "é"}`
	for name, c := range map[string]struct{ data, want string }{
		"a byte order mark":       {"\ufeff" + object, "byte order mark"},
		"UTF-16, marked":          {wide("\ufeff"+object, 2, false), "UTF-16"},
		"UTF-16 BE, marked":       {wide("\ufeff"+object, 2, true), "UTF-16"},
		"UTF-16":                  {wide(object, 2, false), "UTF-16"},
		"UTF-16 BE":               {wide(object, 2, true), "UTF-16"},
		"UTF-32, marked":          {wide("\ufeff"+object, 4, false), "UTF-32"},
		"UTF-32 BE, marked":       {wide("\ufeff"+object, 4, true), "UTF-32"},
		"UTF-32":                  {wide(object, 4, false), "UTF-32"},
		"UTF-32 BE":               {wide(object, 4, true), "UTF-32"},
		"gzip":                    {gzipped(t, object), "gzip"},
		"a page":                  {"\n<!DOCTYPE HTML><html>", "HTML"},
		"XML":                     {`<?xml version="1.0"?><a/>`, "XML"},
		"curl -F":                 {"--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\nv", "multipart"},
		"a snapshot":              {"REDIS0011\xfa\tredis-ver", "RDB"},
		"an append-only file":     {"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "append-only"},
		"single quotes":           {"'{value:1}'", "single quote"},
		"an object":               {object, ""},
		"a list":                  {" [1]", ""},
		"a string":                {`"gzip"`, ""},
		"a number":                {"-12", ""},
		"one byte":                {"7", ""},
		"nothing":                 {"", ""},
		"white space":             {"\n\t", ""},
		"words":                   {"hello", ""},
		"a rule":                  {"--\n", ""},
		"a tag that nobody knows": {"<b>", ""},
		"a NUL":                   {"\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := sniff.Advice([]byte(c.data))
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q: got %q, want %q", c.data, got, c.want)
			}
		})
	}
}
