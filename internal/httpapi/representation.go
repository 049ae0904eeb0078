package httpapi

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

const (
	typeJSON        = "application/json"
	typeForm        = "application/x-www-form-urlencoded"
	typeText        = "text/plain; charset=utf-8"
	typeOctetStream = "application/octet-stream"
)

// representations are the ready answers for an entry. They are made when the entry is
// fetched, so a hit formats nothing.
type representations struct {
	etag string // with its quotes; empty for an entry without a version
	// plain is the answer to GET: the envelope, or the value of a raw entry.
	plain representation
	// raw is the answer to GET with ?raw: the value alone.
	raw representation
}

// representation is one way to answer an entry.
type representation struct {
	body        []byte
	length      string // of body, in decimal
	contentType string
	isRaw       bool // the body is the value
	mayAct      bool // a browser may run it: a client chose its content type
}

// inertTypes are the common content types that a browser only shows or saves. With
// nosniff it takes none of them for another type.
var inertTypes = map[string]bool{
	"text/plain": true, typeOctetStream: true, typeJSON: true,
	"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true,
}

// mayAct reports whether a browser may run a value with the content type. Of types
// with a comma between them it takes the last one.
func mayAct(contentType string) bool {
	return !inertTypes[mediaType(contentType)] || strings.Contains(contentType, ",")
}

// Prepare is the engine's Options.Prepare: it returns the ready answers for an entry, and
// the memory of the value and of these. The envelope and the value share bytes if they can.
//
// The capacity of a slice that append or Grow made is what the allocator gave to it. So the
// memory counted is the memory taken.
func Prepare(key string, e *store.Entry) (any, int) {
	v := &representations{}
	size := int(unsafe.Sizeof(*v)) + cap(e.Data)

	switch {
	// Another program may have written bytes that do not fit the kind. The answer then
	// has the bytes as they are.
	case e.Kind == store.String && utf8.Valid(e.Data):
		body, value, shared := stringEnvelope(key, e.Data)
		size += cap(body)
		if shared {
			size -= cap(e.Data)
			e.Data = value
		}
		v.plain = representation{body: slices.Clip(body), contentType: typeJSON}
		v.raw = representation{body: e.Data, contentType: typeText}
	case e.Kind == store.JSON && utf8.Valid(e.Data) && json.Valid(e.Data):
		body, value := jsonEnvelope(key, e.Data)
		size += cap(body) - cap(e.Data)
		e.Data = value
		v.plain = representation{body: slices.Clip(body), contentType: typeJSON}
		v.raw = representation{body: e.Data, contentType: typeJSON}
	default:
		contentType := ContentTypeOf(e)
		v.raw = representation{body: e.Data, contentType: contentType, mayAct: mayAct(contentType)}
	}

	v.raw.isRaw = true
	if v.plain.body == nil {
		v.plain = v.raw
	}
	return v, size + v.setTexts(e.Version)
}

// setTexts sets the ETag and the lengths. They are parts of one string, since an object
// takes 16 bytes or more, however short it is. It returns the memory of that string.
func (v *representations) setTexts(version store.Version) int {
	var b [80]byte
	text := appendETag(b[:0], version)
	etag := len(text)
	text = strconv.AppendInt(text, int64(len(v.plain.body)), 10)
	plain := len(text)
	text = strconv.AppendInt(text, int64(len(v.raw.body)), 10)
	all := string(text)
	v.etag, v.plain.length, v.raw.length = all[:etag], all[etag:plain], all[plain:]
	return (len(all) + 15) &^ 15
}

// ETag returns the strong ETag of a version, or "" if the entry has no version.
func ETag(v store.Version) string {
	var b [26]byte
	return string(appendETag(b[:0], v))
}

// appendETag appends what ETag returns.
func appendETag(b []byte, v store.Version) []byte {
	if v.Number == 0 {
		return b
	}
	return append(v.Append(append(b, '"')), '"')
}

const (
	envelopeKey   = `{"key":`
	envelopeValue = `,"value":`
	envelopeEnd   = '}'
)

// jsonEnvelope returns the envelope of a JSON value, and the part of it that is the
// value.
func jsonEnvelope(key string, data []byte) (body, value []byte) {
	body = slices.Grow([]byte(nil), len(envelopeKey)+content.QuotedLen(key)+len(envelopeValue)+len(data)+1)
	body = append(body, envelopeKey...)
	body = content.AppendQuoted(body, key)
	body = append(body, envelopeValue...)
	start := len(body)
	body = append(body, data...)
	end := len(body)
	return append(body, envelopeEnd), body[start:end:end]
}

// stringEnvelope returns the envelope of a string, and the part of it between the quotes.
// If no character is escaped, that part is the string, and shared is true.
func stringEnvelope(key string, data []byte) (body, value []byte, shared bool) {
	quoted := content.QuotedLen(data)
	body = slices.Grow([]byte(nil), len(envelopeKey)+content.QuotedLen(key)+len(envelopeValue)+quoted+1)
	body = append(body, envelopeKey...)
	body = content.AppendQuoted(body, key)
	body = append(body, envelopeValue...)
	start := len(body) + 1
	body = content.AppendQuoted(body, data)
	end := len(body) - 1
	return append(body, envelopeEnd), body[start:end:end], quoted == len(data)+2
}
