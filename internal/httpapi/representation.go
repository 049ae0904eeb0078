package httpapi

import (
	"encoding/json"
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
// their size. The envelope and the value share bytes if they can.
func Prepare(key string, e *store.Entry) (any, int) {
	v := &representations{etag: ETag(e.Version)}
	size := int(unsafe.Sizeof(*v)) + len(v.etag)

	switch {
	// Another program may have written bytes that do not fit the kind. The answer then
	// has the bytes as they are.
	case e.Kind == store.String && utf8.Valid(e.Data):
		body, value, shared := stringEnvelope(key, e.Data)
		size += len(body)
		if shared {
			size -= len(value)
			e.Data = value
		}
		v.plain = newRepresentation(body, typeJSON)
		v.raw = newRepresentation(e.Data, typeText)
	case e.Kind == store.JSON && utf8.Valid(e.Data) && json.Valid(e.Data):
		body, value := jsonEnvelope(key, e.Data)
		size += len(body) - len(value)
		e.Data = value
		v.plain = newRepresentation(body, typeJSON)
		v.raw = newRepresentation(e.Data, typeJSON)
	default:
		v.raw = newRepresentation(e.Data, ContentTypeOf(e))
		v.raw.mayAct = mayAct(v.raw.contentType)
	}

	v.raw.isRaw = true
	if v.plain.length == "" {
		v.plain = v.raw
	}
	size += len(v.plain.length) + len(v.raw.length)
	return v, size
}

func newRepresentation(body []byte, contentType string) representation {
	return representation{body: body, length: strconv.Itoa(len(body)), contentType: contentType}
}

// ETag returns the strong ETag of a version, or "" if the entry has no version.
func ETag(v store.Version) string {
	if v.Number == 0 {
		return ""
	}
	var b [26]byte
	tag := v.Append(append(b[:0], '"'))
	return string(append(tag, '"'))
}

const (
	envelopeKey   = `{"key":`
	envelopeValue = `,"value":`
	envelopeEnd   = '}'
)

// jsonEnvelope returns the envelope of a JSON value, and the part of it that is the
// value.
func jsonEnvelope(key string, data []byte) (body, value []byte) {
	body = make([]byte, 0, len(envelopeKey)+content.QuotedLen(key)+len(envelopeValue)+len(data)+1)
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
	body = make([]byte, 0, len(envelopeKey)+content.QuotedLen(key)+len(envelopeValue)+quoted+1)
	body = append(body, envelopeKey...)
	body = content.AppendQuoted(body, key)
	body = append(body, envelopeValue...)
	start := len(body) + 1
	body = content.AppendQuoted(body, data)
	end := len(body) - 1
	return append(body, envelopeEnd), body[start:end:end], quoted == len(data)+2
}
