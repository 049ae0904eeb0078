// Package dump writes a store to a file and reads it back, so that the restored
// store evicts as the first one would have. docs/export.md describes the file.
package dump

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Version is that of the format.
const Version = 1

// Header is the first line of a file.
type Header struct {
	Version   int    `json:"redis_proxy_export"`
	Namespace string `json:"namespace"`
	Eviction  string `json:"eviction"`
	MaxKeys   int    `json:"max_keys"`
	MaxBytes  int64  `json:"max_bytes"`
	// Keys is how many entries there were when the export began.
	Keys int `json:"keys"`
	// Number is the store's write number by then, Epoch what tells the store from
	// one that was emptied and filled anew.
	Number uint64 `json:"number"`
	Epoch  string `json:"epoch"`
	// Clock is what ranks count from, which moves under some policies.
	Clock float64 `json:"clock"`
}

// Entry is a line of a file: an entry with its place in the eviction order.
type Entry struct {
	Key   string
	Value store.Value
	Rank  float64
	// Age is how many writes changed the store from the entry's creation until
	// the export began. HasAge tells 0 from none.
	Age    uint64
	HasAge bool
}

// The types of values.
const (
	typeString = "string"
	typeJSON   = "json"
	typeRaw    = "raw"
)

// line is any line but the first.
type line struct {
	Key         *string         `json:"key"`
	Type        string          `json:"type"`
	Value       json.RawMessage `json:"value"`
	Base64      *[]byte         `json:"base64"`
	ContentType string          `json:"content_type"`
	Rank        float64         `json:"rank"`
	Age         *uint64         `json:"age"`

	// After is a line of its own: where to go on, once all before it is read.
	After *store.Cursor `json:"after"`

	// End is the last line, without which a file is not whole.
	End     bool `json:"end"`
	Entries int  `json:"entries"`
}

// appendEntry appends a line. Text and JSON stand in it as they are, if they
// can; all else in base64.
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
		if e.Value.ContentType != "" {
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

// fitsLine reports whether JSON comes back to the byte from within a line.
func fitsLine(data []byte) bool {
	return json.Valid(data) && utf8.Valid(data) && !bytes.ContainsAny(data, "\r\n") && len(bytes.TrimSpace(data)) == len(data)
}

func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // of a string there is no error
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// decodeLine reads a line, and the entry if it is one.
func decodeLine(b []byte) (*line, Entry, error) {
	var l line
	if err := decodeStrictly(b, &l); err != nil {
		return nil, Entry{}, err
	}
	if l.Key == nil {
		if l.After == nil && !l.End {
			return nil, Entry{}, errors.New("there is no key")
		}
		return &l, Entry{}, nil
	}
	e := Entry{Key: *l.Key, Rank: l.Rank, HasAge: l.Age != nil}
	if e.HasAge {
		e.Age = *l.Age
	}
	var err error
	e.Value, err = l.value()
	return &l, e, err
}

func (l *line) value() (store.Value, error) {
	if (l.Value == nil) == (l.Base64 == nil) {
		return store.Value{}, errors.New("there must be value or base64, and not both")
	}
	isText := len(l.Value) > 0 && l.Value[0] == '"'
	switch name := l.Type; {
	case name == typeString && isText, name == "" && isText:
		var s string
		if err := json.Unmarshal(l.Value, &s); err != nil {
			return store.Value{}, err
		}
		return store.Value{Data: []byte(s), Kind: store.String}, nil
	case l.Value != nil && (name == typeJSON || name == ""):
		return store.Value{Data: l.Value, Kind: store.JSON}, nil
	case l.Value != nil && (name == typeString || name == typeRaw):
		return store.Value{}, fmt.Errorf("a value of the type %s is a JSON string, or in base64", name)
	case l.Value == nil && name == typeString:
		return store.Value{Data: *l.Base64, Kind: store.String}, nil
	case l.Value == nil && name == typeJSON:
		return store.Value{Data: *l.Base64, Kind: store.JSON}, nil
	case l.Value == nil && (name == typeRaw || name == ""):
		return store.Value{Data: *l.Base64, Kind: store.Raw, ContentType: l.ContentType}, nil
	default:
		return store.Value{}, fmt.Errorf("unknown type %q: expected string, json or raw", name)
	}
}

func decodeHeader(b []byte) (Header, error) {
	var h Header
	// Not strictly: later versions may say more.
	if err := json.Unmarshal(b, &h); err != nil || h.Version == 0 {
		return h, errors.New(`the file is not an export: expected {"redis_proxy_export": at the start of its first line`)
	}
	if h.Version != Version {
		return h, fmt.Errorf("the file has version %d of the format, this program knows %d", h.Version, Version)
	}
	return h, nil
}

func decodeStrictly(b []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}
