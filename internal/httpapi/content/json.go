// Package content decodes the values in JSON and form bodies. It does not import Caddy,
// which keeps its fuzz target fast.
package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/sniff"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Content is the value in a request body, and the key if the body has one.
type Content struct {
	Value store.Value
	// Key is the field key of a JSON or form body. HasKey is false if there is no such
	// field.
	Key    string
	HasKey bool
	// TTL is the field ttl.
	TTL TTL
}

// TTL is what a request says of how long an entry lives. The text is not checked yet.
type TTL struct {
	Text  string
	IsSet bool
}

// DecodeJSON decodes {"value": X}, with or without "key" and "ttl". It does not decode into a
// struct: encoding/json would ignore the case of names, and take the last one of two
// equal names.
func DecodeJSON(body []byte) (Content, error) {
	const hint = `; expected {"value": …}, or {"key": …, "value": …} without a key in the path`
	if !utf8.Valid(body) || !json.Valid(body) {
		return Content{}, fmt.Errorf("the body is not valid JSON: %s%s", notJSON(body), hint)
	}
	rest := skipSpace(body)
	if rest[0] != '{' {
		return Content{}, fmt.Errorf("the body is not a JSON object%s", hint)
	}
	var c Content
	hasValue := false
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		var quoted, field []byte
		quoted, rest = cutJSON(rest)
		field, rest = cutJSON(skipSpace(skipSpace(rest)[1:])) // after the colon
		if rest = skipSpace(rest); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
		name, err := decodeString(quoted)
		if err != nil {
			return Content{}, fmt.Errorf("a field name %v", err)
		}
		switch string(name) {
		case "value":
			if hasValue {
				return Content{}, fmt.Errorf("the field value is there twice")
			}
			hasValue = true
			c.Value = store.Value{Data: field, Kind: store.JSON}
			if field[0] == '"' {
				if field, err = decodeString(field); err != nil {
					return Content{}, fmt.Errorf("the field value %v", err)
				}
				c.Value = store.Value{Data: field, Kind: store.String}
			}
		case "key":
			if c.HasKey {
				return Content{}, fmt.Errorf("the field key is there twice")
			}
			if field[0] != '"' {
				return Content{}, fmt.Errorf("the field key is not a string")
			}
			if field, err = decodeString(field); err != nil {
				return Content{}, fmt.Errorf("the field key %v", err)
			}
			c.Key, c.HasKey = string(field), true
		case "ttl":
			if c.TTL.IsSet {
				return Content{}, fmt.Errorf("the field ttl is there twice")
			}
			c.TTL = TTL{Text: string(field), IsSet: true}
			if c.TTL.Text == `"none"` {
				c.TTL.Text = "none"
			}
		default:
			return Content{}, fmt.Errorf("unknown field %q%s", name, hint)
		}
	}
	if !hasValue {
		return Content{}, fmt.Errorf("the body has no field value%s", hint)
	}
	if 2*len(c.Value.Data) < len(body) {
		// Without the copy, a small value would keep the memory of the whole body, which
		// nothing counts any more.
		c.Value.Data = bytes.Clone(c.Value.Data)
	}
	return c, nil
}

// notJSON explains why a body is not JSON.
func notJSON(body []byte) string {
	advice := sniff.Advice(body)
	switch {
	case len(skipSpace(body)) == 0:
		return "it is empty"
	case advice != "":
		return advice
	case formStart.Match(body):
		return "it looks like a form; send it as application/x-www-form-urlencoded"
	case !utf8.Valid(body):
		return "it is not valid UTF-8"
	}
	var raw json.RawMessage
	return fmt.Sprint(json.Unmarshal(body, &raw))
}

// formStart matches the beginning of a form.
var formStart = regexp.MustCompile(`^(key|value)=`)

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// cutJSON splits valid JSON after its first value.
func cutJSON(b []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(b); i++ {
		ends := false // a value ends with this byte
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			ends = true
		case '{', '[':
			depth++
			continue
		case '}', ']', ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return b[:i], b[i:] // after a number, true, false or null
			}
			if b[i] == '}' || b[i] == ']' {
				depth--
				ends = true
			}
		}
		if ends && depth == 0 {
			return b[:i+1], b[i+1:]
		}
	}
	return b, nil
}

// decodeString decodes a well-formed JSON string. The result may share its bytes.
func decodeString(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1 : len(quoted)-1], nil
	}
	if hasLoneSurrogate(quoted) {
		return nil, errors.New("is not valid Unicode: it has half of a surrogate pair")
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, fmt.Errorf("is not a string: %w", err)
	}
	return []byte(s), nil
}

// hasLoneSurrogate reports whether a well-formed JSON string escapes half of a
// surrogate pair. encoding/json replaces such halves silently.
func hasLoneSurrogate(quoted []byte) bool {
	unit := func(i int) uint16 { // the code unit of \uXXXX at i, or 0
		if i+6 > len(quoted) || quoted[i] != '\\' || quoted[i+1] != 'u' {
			return 0
		}
		var n uint16
		for _, c := range quoted[i+2 : i+6] {
			n = n<<4 | uint16(fromHex(c))
		}
		return n
	}
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case u >= 0xdc00 && u <= 0xdfff:
			return true
		case u >= 0xd800 && u <= 0xdbff:
			if low := unit(i + 6); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		default:
			i++ // the escaped character may be another backslash
		}
	}
	return false
}
