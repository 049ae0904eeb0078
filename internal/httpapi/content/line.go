package content

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Line is one operation of a bulk request.
type Line struct {
	Op    string // "create", "put", "delete" or "get"
	Key   string
	Value store.Value // of create and put; its content type is not checked
	TTL   TTL
	// IfMatch and IfNoneMatch are as in the headers; empty if the line has none.
	IfMatch, IfNoneMatch string
}

const hintLine = `; expected one object a line, {"op": …, "key": …, "value": …}, where op is create (as without op), put, delete or get`

// lineFields are the fields that a line may have. Their place is their bit in a set.
var lineFields = [...]string{"op", "key", "value", "base64", "content_type", "if_match", "if_none_match", "ttl"}

const (
	fieldOp = 1 << iota
	fieldKey
	fieldValue
	fieldBase64
	fieldContentType
	fieldIfMatch
	fieldIfNoneMatch
	fieldTTL
)

// DecodeLine decodes a line. With an error, the Line has those of its fields that were read
// before. The
// result shares no bytes with the line, or the value does if isOwned is set.
func DecodeLine(line []byte, isOwned bool) (Line, error) {
	d := lineDecoder{isOwned: isOwned, size: len(line)}
	err := d.decode(line)
	switch err {
	case errSyntax:
		return Line{}, notALine(line)
	case nil:
		err = d.check()
	}
	return d.line, err
}

// errSyntax says that a line is not a JSON object.
var errSyntax = errors.New("no JSON object")

// notALine explains errSyntax.
func notALine(line []byte) error {
	if utf8.Valid(line) && json.Valid(line) {
		return fmt.Errorf("the line is not a JSON object%s", hintLine)
	}
	return fmt.Errorf("the line is not valid JSON: %s%s", notJSON(line), hintLine)
}

type lineDecoder struct {
	line    Line
	fields  int // those that the line has
	isOwned bool
	size    int // of the line
}

// decode reads each byte once, since lines come in large numbers. Only values that are not
// strings go through encoding/json.
func (d *lineDecoder) decode(line []byte) error {
	if !utf8.Valid(line) {
		return errSyntax
	}
	rest := skipSpace(line)
	if len(rest) == 0 || rest[0] != '{' {
		return errSyntax
	}
	rest = skipSpace(rest[1:])
	isFirst := true
	for len(rest) > 0 && rest[0] != '}' {
		if !isFirst {
			if rest[0] != ',' {
				return errSyntax
			}
			rest = skipSpace(rest[1:])
		}
		isFirst = false
		name, after, ok := cutString(rest)
		after = skipSpace(after)
		if !ok || len(after) == 0 || after[0] != ':' {
			return errSyntax
		}
		value, after, ok := cutValue(skipSpace(after[1:]))
		if !ok {
			return errSyntax
		}
		if err := d.field(name, value); err != nil {
			if !json.Valid(line) {
				return errSyntax
			}
			return err
		}
		rest = skipSpace(after)
	}
	if len(rest) == 0 || len(skipSpace(rest[1:])) > 0 {
		return errSyntax
	}
	return nil
}

// cutString splits off a JSON string with its quotes. Its bytes are valid UTF-8.
func cutString(b []byte) (quoted, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	hasEscape := false
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = b[:i+1]
			return quoted, b[i+1:], !hasEscape || json.Valid(quoted)
		case c == '\\':
			hasEscape = true
			i++
		case c < ' ':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// cutValue splits off a JSON value.
func cutValue(b []byte) (value, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		return cutString(b)
	}
	depth := 0
	end := 0
scan:
	for ; end < len(b); end++ {
		switch b[end] {
		case '"':
			quoted, _, ok := cutString(b[end:])
			if !ok {
				return nil, nil, false
			}
			end += len(quoted) - 1
		case '{', '[':
			depth++
		case '}', ']', ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				break scan
			}
			if b[end] == '}' || b[end] == ']' {
				if depth--; depth == 0 {
					end++
					break scan
				}
			}
		}
	}
	return b[:end], b[end:], json.Valid(b[:end])
}

// field takes a field with its value, which are valid JSON.
func (d *lineDecoder) field(quoted, value []byte) error {
	name, err := decodeString(quoted)
	if err != nil {
		return fmt.Errorf("a field name %v", err)
	}
	bit := 0
	for i, known := range lineFields {
		if string(name) == known {
			bit = 1 << i
		}
	}
	switch {
	case bit == 0:
		return fmt.Errorf("unknown field %q%s", name, hintLine)
	case d.fields&bit != 0:
		return fmt.Errorf("the field %s is there twice", name)
	}
	d.fields |= bit
	switch bit {
	case fieldValue:
		return d.value(value)
	case fieldTTL:
		d.line.TTL = TTL{Text: string(value), IsSet: true}
		if d.line.TTL.Text == `"none"` {
			d.line.TTL.Text = "none"
		}
		return nil
	}
	if value[0] != '"' {
		return fmt.Errorf("the field %s is not a string", name)
	}
	text, err := decodeString(value)
	if err != nil {
		return fmt.Errorf("the field %s %v", name, err)
	}
	switch bit {
	case fieldOp:
		d.line.Op = string(text)
	case fieldKey:
		d.line.Key = string(text)
	case fieldBase64:
		data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Strict().Decode(data, text)
		if err != nil {
			return errors.New("the field base64 is not base64 (RFC 4648, section 4, with padding)")
		}
		d.line.Value.Data, d.line.Value.Kind = data[:n:n], store.Raw
	case fieldContentType:
		d.line.Value.ContentType = string(text)
	case fieldIfMatch:
		d.line.IfMatch = string(text)
	case fieldIfNoneMatch:
		d.line.IfNoneMatch = string(text)
	}
	return nil
}

// value takes the field value.
func (d *lineDecoder) value(field []byte) error {
	kind := store.JSON
	if field[0] == '"' {
		kind = store.String
		decoded, err := decodeString(field)
		if err != nil {
			return fmt.Errorf("the field value %v", err)
		}
		field = decoded
	}
	if !d.isOwned || 2*len(field) < d.size {
		field = bytes.Clone(field) // as in DecodeJSON
	}
	d.line.Value.Data, d.line.Value.Kind = field, kind
	return nil
}

// check checks that the fields belong together.
func (d *lineDecoder) check() error {
	has := func(bits int) bool { return d.fields&bits != 0 }
	switch {
	case has(fieldIfMatch) && d.line.IfMatch == "":
		return errors.New("the field if_match is empty; leave it out, or name an ETag")
	case has(fieldIfNoneMatch) && d.line.IfNoneMatch == "":
		return errors.New("the field if_none_match is empty; leave it out, or name an ETag")
	}
	if !has(fieldOp) {
		d.line.Op = "create"
	}
	switch op := d.line.Op; op {
	case "create", "put":
		switch {
		case has(fieldValue) && has(fieldBase64):
			return errors.New("the line has value and base64; send one of them")
		case !has(fieldValue | fieldBase64):
			return fmt.Errorf("the line has neither value nor base64%s", hintLine)
		case has(fieldContentType) && !has(fieldBase64):
			return errors.New("content_type belongs to base64, and the line has value; send the bytes as base64")
		}
	case "delete", "get":
		if has(fieldValue | fieldBase64 | fieldContentType | fieldTTL) {
			return fmt.Errorf("a %s stores nothing; leave value, base64, content_type and ttl out", op)
		}
		if op == "get" && has(fieldIfMatch|fieldIfNoneMatch) {
			return errors.New("a get has no conditions; leave if_match and if_none_match out")
		}
	default:
		return fmt.Errorf("the op %q is unknown; write create, put, delete or get", op)
	}
	if !has(fieldKey) {
		return fmt.Errorf("the line has no field key%s", hintLine)
	}
	return nil
}
