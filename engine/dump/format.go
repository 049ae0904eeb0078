// Package dump exports a store to a file, and imports it again. The restored store evicts
// as the first one would have. docs/export.md describes the file.
package dump

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Version is the version of the format.
const Version = 3

// Header is the first line of a file.
type Header struct {
	Version   int    `json:"redis_proxy_export"`
	Namespace string `json:"namespace"`
	Eviction  string `json:"eviction"`
	MaxKeys   int    `json:"max_keys"`
	MaxBytes  int64  `json:"max_bytes"`
	// Partitions has each partition of the namespace, at least one. The entries of the
	// first one come first.
	Partitions []Partition `json:"partitions"`
}

// Partition describes a partition of a namespace when the export began. Each is a store.
type Partition struct {
	// Keys is the number of entries.
	Keys int `json:"keys"`
	// Number is the store's write number. Epoch tells the store from one that was emptied
	// and filled again.
	Number uint64 `json:"number"`
	Epoch  string `json:"epoch"`
	// Clock is the number from which ranks count. It moves under some policies.
	Clock float64 `json:"clock"`
}

// Entry is a line of a file: an entry with its place in the eviction order.
type Entry struct {
	Key   string
	Value store.Value
	Rank  float64
	// Age is the number of writes that changed the partition from the entry's creation
	// until the export began. HasAge tells an age of 0 from no age.
	Age    uint64
	HasAge bool
	// Expires is the time of the store's clock at which the entry expires; the zero time
	// for never. It is absolute, so an old file brings no entry back to life.
	Expires time.Time
}

// The types of values.
const (
	typeString = "string"
	typeJSON   = "json"
	typeRaw    = "raw"
)

// line is any line but the first.
type line struct {
	Key         *text           `json:"key"`
	Type        string          `json:"type"`
	Value       json.RawMessage `json:"value"`
	Base64      *[]byte         `json:"base64"`
	ContentType text            `json:"content_type"`
	Rank        float64         `json:"rank"`
	Age         *uint64         `json:"age"`
	Expires     *time.Time      `json:"expires"`

	// After is a line of its own. It says where an export of the lines before continues.
	After *store.Cursor `json:"after"`

	// Partition is a line of its own. The entries of this partition follow.
	Partition *int `json:"partition"`

	// End is the last line. A file without it is not whole.
	End     bool `json:"end"`
	Entries int  `json:"entries"`
}

// appendEntry appends the line of an entry. Text and JSON are written as they are, if
// that is possible; other values in base64.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, `{"key":`...)
	dst = appendString(dst, e.Key)
	data := e.Value.Data
	switch {
	case e.Value.Kind == store.String && utf8.Valid(data):
		dst = append(dst, `,"type":"string","value":`...)
		dst = appendString(dst, string(data))
	case e.Value.Kind == store.JSON && fitsLine(data):
		dst = append(dst, `,"type":"json","value":`...)
		dst = append(dst, data...)
	default:
		dst = append(dst, `,"type":"`...)
		dst = append(dst, typeName(e.Value.Kind)...)
		dst = append(dst, `","base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, data)
		dst = append(dst, '"')
		if e.Value.ContentType != "" && store.CheckContentType(e.Value.ContentType) == nil {
			dst = append(dst, `,"content_type":`...)
			dst = appendString(dst, e.Value.ContentType)
		}
	}
	dst = append(dst, `,"rank":`...)
	dst = strconv.AppendFloat(dst, e.Rank, 'f', -1, 64)
	if e.HasAge {
		dst = append(dst, `,"age":`...)
		dst = strconv.AppendUint(dst, e.Age, 10)
	}
	if !e.Expires.IsZero() {
		dst = append(dst, `,"expires":"`...)
		dst = e.Expires.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
		dst = append(dst, '"')
	}
	return append(dst, "}\n"...)
}

func typeName(k store.Kind) string {
	switch k {
	case store.String:
		return typeString
	case store.JSON:
		return typeJSON
	default:
		return typeRaw
	}
}

// fitsLine reports whether JSON can be read back from a line unchanged to the byte.
func fitsLine(data []byte) bool {
	return json.Valid(data) && utf8.Valid(data) && !bytes.ContainsAny(data, "\r\n") && len(bytes.TrimSpace(data)) == len(data)
}

func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string never fails
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// decodeLine reads a line, and its entry if it has one.
func decodeLine(b []byte) (*line, Entry, error) {
	var l line
	if err := decodeStrictly(b, &l); err != nil {
		return nil, Entry{}, err
	}
	switch isMark := l.After != nil || l.Partition != nil || l.End; {
	case l.Key == nil && !isMark:
		return nil, Entry{}, errors.New("there is no key")
	case l.Key == nil:
		return &l, Entry{}, nil
	case isMark:
		return nil, Entry{}, errors.New("an entry has neither after nor partition nor end")
	}
	e := Entry{Key: string(*l.Key), Rank: l.Rank, HasAge: l.Age != nil}
	if e.HasAge {
		e.Age = *l.Age
	}
	if l.Expires != nil {
		if l.Expires.IsZero() {
			return nil, Entry{}, errors.New("expires is the year 1; leave it out for an entry that does not expire")
		}
		e.Expires = *l.Expires
	}
	var err error
	e.Value, err = l.value()
	return &l, e, err
}

func (l *line) value() (store.Value, error) {
	if (l.Value == nil) == (l.Base64 == nil) {
		return store.Value{}, errors.New("there must be either value or base64")
	}
	isRaw := l.Type == typeRaw || l.Type == "" && l.Value == nil
	if l.ContentType != "" && !isRaw {
		return store.Value{}, errors.New("content_type is for raw values")
	}
	if err := store.CheckContentType(string(l.ContentType)); err != nil {
		return store.Value{}, fmt.Errorf("content_type %w", err)
	}
	isText := len(l.Value) > 0 && l.Value[0] == '"'
	switch name := l.Type; {
	case name == typeString && isText, name == "" && isText:
		var s text
		if err := json.Unmarshal(l.Value, &s); err != nil {
			return store.Value{}, err
		}
		return store.Value{Data: []byte(s), Kind: store.String}, nil
	case l.Value != nil && (name == typeJSON || name == ""):
		return store.Value{Data: l.Value, Kind: store.JSON}, nil
	case l.Value != nil && (name == typeString || name == typeRaw):
		return store.Value{}, fmt.Errorf("a value of the type %s must be a JSON string or in base64", name)
	case l.Value == nil && name == typeString:
		return store.Value{Data: *l.Base64, Kind: store.String}, nil
	case l.Value == nil && name == typeJSON:
		return store.Value{Data: *l.Base64, Kind: store.JSON}, nil
	case isRaw:
		return store.Value{Data: *l.Base64, Kind: store.Raw, ContentType: string(l.ContentType)}, nil
	default:
		return store.Value{}, fmt.Errorf("unknown type %q: expected string, json or raw", name)
	}
}

// headerStart is the start of the first line.
const headerStart = `{"redis_proxy_export":`

// errNoExport says that a file is no export.
var errNoExport = errors.New("the file is not an export")

func notHeader() error {
	return fmt.Errorf("%w: expected %s at the start of its first line", errNoExport, headerStart)
}

// beginsHeader reports whether b may be the start of a first line.
func beginsHeader(b []byte) bool {
	n := min(len(b), len(headerStart))
	return string(b[:n]) == headerStart[:n]
}

func decodeHeader(b []byte) (Header, error) {
	var h Header
	// Unknown fields are allowed: later versions may add some.
	err := json.Unmarshal(b, &h)
	switch {
	case h.Version == 0:
		return h, notHeader()
	case h.Version != Version:
		return h, otherVersion(h.Version)
	case err != nil:
		return h, err
	}
	if h.MaxKeys < 0 || h.MaxBytes < 0 {
		return h, errors.New("max_keys and max_bytes must not be negative")
	}
	if len(h.Partitions) == 0 {
		h.Partitions = make([]Partition, 1)
	}
	return h, checkNames(b)
}

// otherVersion is the error for a file with another version of the format.
func otherVersion(version int) error {
	wayOut := "import it with the version of this program that wrote it, and export it again with this one"
	if version > Version {
		wayOut = "import it with the version of this program that wrote it, or a later one"
	}
	return fmt.Errorf("the file has version %d of the format, and this program reads version %d: %s", version, Version, wayOut)
}

func decodeStrictly(b []byte, to any) error {
	if !utf8.Valid(b) {
		return errors.New("it is not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return checkNames(b)
}

var fieldName = regexp.MustCompile("^[a-z0-9_]+$")

// checkNames refuses two mistakes that encoding/json accepts in an object: names in
// another case, and the same name twice.
func checkNames(b []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		switch {
		case !fieldName.MatchString(name):
			return fmt.Errorf("unknown field %q", name)
		case seen[name]:
			return fmt.Errorf("the field %s is there twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
	}
	return nil
}

// text is a JSON string that must be valid Unicode. encoding/json would replace half of a
// surrogate pair with another character.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*string)(t)); err != nil {
		return err
	}
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		if i++; b[i] != 'u' {
			continue
		}
		first := escaped(b[i+1:])
		if i += 4; !utf16.IsSurrogate(first) {
			continue
		}
		second := rune(0)
		if bytes.HasPrefix(b[i+1:], []byte(`\u`)) {
			second = escaped(b[i+3:])
			i += 6
		}
		if utf16.DecodeRune(first, second) == utf8.RuneError {
			return errors.New("a string has half of a surrogate pair")
		}
	}
	return nil
}

// escaped reads the four hexadecimal digits at the start of b.
func escaped(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 16) // json.Unmarshal has checked them
	return rune(n)
}
