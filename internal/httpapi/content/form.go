package content

import (
	"bytes"
	"fmt"
	"iter"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/sniff"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// FormFields yields the names and values of a form or a query, in their order. It
// parses application/x-www-form-urlencoded as the URL standard of the WHATWG does: only
// & separates, + is a space, and a % without two hex digits stays as it is. Bytes that
// are not valid UTF-8 stay too, and callers can refuse them.
func FormFields(encoded string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for pair := range strings.SplitSeq(encoded, "&") {
			if pair == "" {
				continue
			}
			name, value, _ := strings.Cut(pair, "=")
			if !yield(unescapeForm(name), unescapeForm(value)) {
				return
			}
		}
	}
}

// unescapeForm decodes a name or a value.
func unescapeForm(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c = fromHex(s[i+1])<<4 | fromHex(s[i+2])
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// fromHex returns the value of a hex digit.
func fromHex(c byte) byte {
	if c >= 'A' {
		return c&^0x20 - 'A' + 10
	}
	return c - '0'
}

// DecodeForm decodes a form with value=X, with or without key=K and ttl=N.
func DecodeForm(body []byte, contentType string) (Content, error) {
	const hint = `; expected a form value=…, or key=…&value=… without a key in the path (to store the body itself, send another Content-Type such as text/plain, or add ?raw)`
	var c Content
	var unknown string
	hasValue, hasUnknown, isASCII := false, false, true
	for name, value := range FormFields(string(body)) {
		isKey, isTTL := name == "key", name == "ttl"
		switch {
		case name != "value" && !isKey && !isTTL:
			if !hasUnknown {
				unknown, hasUnknown = name, true
			}
			continue
		case name == "value" && hasValue, isKey && c.HasKey, isTTL && c.TTL.IsSet:
			return Content{}, fmt.Errorf("the field %s is there twice", name)
		case !utf8.ValidString(value):
			return Content{}, fmt.Errorf("the field %s is not valid UTF-8", name)
		}
		isASCII = isASCII && utf8.RuneCountInString(value) == len(value)
		switch {
		case isKey:
			c.Key, c.HasKey = value, true
		case isTTL:
			c.TTL = TTL{Text: value, IsSet: true}
		default:
			c.Value, hasValue = store.Value{Data: []byte(value), Kind: store.String}, true
		}
	}
	switch charset := charsetOf(contentType); {
	case (!hasValue || hasUnknown) && bytes.HasPrefix(skipSpace(body), []byte("{")):
		return Content{}, fmt.Errorf("the body is JSON, sent as a form, as curl -d does; add the header Content-Type: application/json")
	case !hasValue && sniff.Advice(body) != "":
		return Content{}, fmt.Errorf("the body is not a form: %s%s", sniff.Advice(body), hint)
	case !hasValue:
		return Content{}, fmt.Errorf("the form has no field value%s", hint)
	case hasUnknown:
		return Content{}, fmt.Errorf("unknown field %q%s", unknown, hint)
	case !isASCII && charset != "" && charset != "utf-8":
		// As UTF-8, the same bytes would be another text.
		return Content{}, fmt.Errorf("the form names the charset %q, but forms are read as UTF-8; encode it as UTF-8, and leave the charset out", charset)
	}
	return c, nil
}

// charsetOf returns the charset that a Content-Type names, in lower case.
func charsetOf(contentType string) string {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return strings.ToLower(params["charset"])
}
