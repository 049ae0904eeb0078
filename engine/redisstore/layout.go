package redisstore

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// LayoutVersion is the number of this layout. A change of layout or events raises it.
const LayoutVersion = 4

// layoutVersion is the number as scripts write it.
var layoutVersion = strconv.Itoa(LayoutVersion)

// The forms in which the scripts store entries and state. Numbers are big-endian.
//
// A member of the ranks is the insertion number, in 6 bytes, and the key. So among equal
// scores the oldest entry comes first.
//
// Meta is the form (1 byte), the size of the value (3), the insertion number (6) and the
// tag (4). An entry that was replaced has the number of its last write (6) behind that, and
// then an entry that expires the time for that (6), in milliseconds since 1970.
// A content type that has no form of its own comes last.
//
// The form is formMark and an index into forms, formReplaced if the entry was replaced, and
// formExpires if it expires. No ASCII text begins with such a byte.
const (
	insertionSize = 6
	tagSize       = 4
	sizeSize      = 3
	metaSize      = 1 + sizeSize + insertionSize + tagSize
	replacedSize  = metaSize + insertionSize
	expirySize    = 6
	formMark      = 0x80
	formReplaced  = 0x40
	formExpires   = 0x20
	// mostSize in meta stands for every value of this size or larger.
	mostSize = 1<<(8*sizeSize) - 1
)

// forms are the kinds and content types by index. An index never changes its meaning. The
// first one is that of raw values with another content type.
var forms = []store.Value{
	{Kind: store.Raw},
	{Kind: store.String},
	{Kind: store.JSON},
	{Kind: store.Raw},
	{Kind: store.Raw, ContentType: "text/plain"},
	{Kind: store.Raw, ContentType: "text/plain; charset=utf-8"},
	{Kind: store.Raw, ContentType: "application/octet-stream"},
	{Kind: store.Raw, ContentType: "application/json"},
	{Kind: store.Raw, ContentType: "text/html"},
	{Kind: store.Raw, ContentType: "text/html; charset=utf-8"},
	{Kind: store.Raw, ContentType: "text/css"},
	{Kind: store.Raw, ContentType: "text/javascript"},
	{Kind: store.Raw, ContentType: "application/javascript"},
	{Kind: store.Raw, ContentType: "text/csv"},
	{Kind: store.Raw, ContentType: "text/xml"},
	{Kind: store.Raw, ContentType: "application/xml"},
	{Kind: store.Raw, ContentType: "application/msgpack"},
	{Kind: store.Raw, ContentType: "application/protobuf"},
	{Kind: store.Raw, ContentType: "application/cbor"},
	{Kind: store.Raw, ContentType: "image/png"},
	{Kind: store.Raw, ContentType: "image/jpeg"},
	{Kind: store.Raw, ContentType: "image/gif"},
	{Kind: store.Raw, ContentType: "image/webp"},
	{Kind: store.Raw, ContentType: "image/svg+xml"},
}

const (
	otherForm   = 0
	foreignForm = 3 // of a value that another program wrote
)

var formsByType = func() map[string]byte {
	m := make(map[string]byte)
	for i, f := range forms {
		if i > otherForm && f.Kind == store.Raw {
			m[f.ContentType] = byte(i)
		}
	}
	return m
}()

// formOf returns the form of a value, and the content type that meta has at its end.
func formOf(v *store.Value) (form byte, contentType string) {
	if v.Kind != store.Raw {
		for i := range forms {
			if forms[i].Kind == v.Kind {
				return formMark | byte(i), ""
			}
		}
	}
	if form, ok := formsByType[v.ContentType]; ok {
		return formMark | form, ""
	}
	return formMark | otherForm, v.ContentType
}

// attrsOf returns the parts of meta that depend on the write: form, size and content type.
// In place of the time at which an entry expires, it has the milliseconds until then, but
// not for a Restore.
func attrsOf(w *store.Write) string {
	form, contentType := formOf(&w.Value)
	size := min(len(w.Value.Data), mostSize)
	b := make([]byte, 0, 1+sizeSize+expirySize+len(contentType))
	b = append(b, form, byte(size>>16), byte(size>>8), byte(size))
	if expires(w) {
		b[0] |= formExpires
		b = append(b, binary.BigEndian.AppendUint64(nil, uint64(lifeOf(w)))[8-expirySize:]...)
	}
	return string(append(b, contentType...))
}

// expires reports whether the entry that w writes is to expire.
func expires(w *store.Write) bool { return w.TTL > 0 || !w.Expires.IsZero() }

// lifeOf returns the TTL of w, rounded up, or its Expires, in milliseconds. A time before
// 1970 is over, as 1970 is.
func lifeOf(w *store.Write) int64 {
	if w.TTL > 0 {
		return int64((min(w.TTL, store.MaxTTL) + time.Millisecond - 1) / time.Millisecond)
	}
	return min(max(w.Expires.UnixMilli(), 0), 1<<(8*expirySize)-1)
}

// meta is the meta of an entry, taken apart.
type meta struct {
	insertion   uint64
	version     store.Version
	kind        store.Kind
	contentType string
	expires     int64 // in milliseconds since 1970; 0 for never
}

// expiry returns the time at which an entry expires; the zero time for never.
func (m *meta) expiry() time.Time {
	if m.expires == 0 {
		return time.Time{}
	}
	return time.UnixMilli(m.expires)
}

// decodeMeta takes meta apart. It returns false if another program wrote it.
func decodeMeta(s string) (m meta, ok bool) {
	if len(s) < metaSize || s[0] < formMark {
		return meta{}, false
	}
	index := int(s[0] &^ (formMark | formReplaced | formExpires))
	end := metaSize
	m.insertion = number6(s[1+sizeSize:])
	m.version = store.Version{Number: m.insertion, Tag: binary.BigEndian.Uint32([]byte(s[metaSize-tagSize : metaSize]))}
	if s[0]&formReplaced != 0 {
		if end = replacedSize; len(s) < end {
			return meta{}, false
		}
		m.version.Number = number6(s[metaSize:])
	}
	if s[0]&formExpires != 0 {
		if len(s) < end+expirySize {
			return meta{}, false
		}
		m.expires = int64(number6(s[end:]))
		end += expirySize
	}
	if index >= len(forms) || m.version.Number == 0 {
		return meta{}, false
	}
	m.kind, m.contentType = forms[index].Kind, forms[index].ContentType
	if index == otherForm {
		m.contentType = s[end:]
	}
	return m, true
}

// decodeEntry makes an entry of a value and its meta.
func decodeEntry(value, text string) *store.Entry {
	m, known := decodeMeta(text)
	return entryOf(value, m, known)
}

// entryOf makes an entry of a value and its meta. If another program wrote the meta, the
// value is raw bytes without a version. A content type that cannot stand in headers and
// JSON is dropped.
func entryOf(value string, m meta, known bool) *store.Entry {
	e := &store.Entry{Value: store.Value{Data: []byte(value), Kind: store.Raw}}
	if !known {
		return e
	}
	e.Kind, e.Version = m.kind, m.version
	if store.CheckContentType(m.contentType) == nil {
		e.ContentType = m.contentType
	}
	return e
}

// number6 reads a number of 6 bytes.
func number6(s string) uint64 {
	return uint64(s[0])<<40 | uint64(s[1])<<32 | uint64(s[2])<<24 | uint64(s[3])<<16 | uint64(s[4])<<8 | uint64(s[5])
}

// versionSize is the size of a version in an answer: number and tag.
const versionSize = insertionSize + tagSize

func decodeVersion(s string) store.Version {
	return store.Version{Number: number6(s), Tag: binary.BigEndian.Uint32([]byte(s[insertionSize:versionSize]))}
}

// headForm is the form of the head, the part of the state that most calls need, as
// struct.pack of Lua has it: write number, number and tag of the last event, epoch, bytes,
// size of the largest value since the namespace was last empty, keys, 1 if scores of
// former policies are left, clock, window, and the lowest score outside of the window. It
// must not be longer than 64 bytes: by default, Redis then keeps the state in a compact form.
const (
	headForm  = ">I6I6I4I4I6I6I6Bddd"
	headSize  = 63
	epochAt   = 16
	bytesAt   = 20
	largestAt = 26
	keysAt    = 32
	clockAt   = 39
	lowAt     = 55
)

// expiringForm is the form of the field expiring in the state: the latest time that a batch
// saw, in milliseconds since 1970, and the number of entries that expire. While there are
// none, there is no field.
const (
	expiringForm = ">I6I6"
	expiringSize = 2 * expirySize
)

// head has the parts of the head that Go needs.
type head struct {
	number uint64
	event  store.Version
	epoch  string
	bytes  int64
	keys   int
}

// decodeHead returns the zero head if the head is absent or was spoiled.
func decodeHead(s string) head {
	if len(s) != headSize {
		return head{}
	}
	return head{
		number: number6(s),
		event:  decodeVersion(s[insertionSize:]),
		epoch:  store.Version{Tag: binary.BigEndian.Uint32([]byte(s[epochAt:bytesAt]))}.String()[1:],
		bytes:  int64(number6(s[bytesAt:])),
		keys:   int(number6(s[keysAt:])),
	}
}

// layoutConstants are the constants that scripts write as "layout." and a name. Places
// count from 1.
var layoutConstants = map[string]string{
	"Version":       layoutVersion,
	"HeadForm":      headForm,
	"HeadSize":      strconv.Itoa(headSize),
	"EventAt":       strconv.Itoa(insertionSize + 1),
	"EpochAt":       strconv.Itoa(epochAt + 1),
	"LargestAt":     strconv.Itoa(largestAt + 1),
	"KeysAt":        strconv.Itoa(keysAt + 1),
	"ClockAt":       strconv.Itoa(clockAt + 1),
	"LowAt":         strconv.Itoa(lowAt + 1),
	"ExpiringForm":  expiringForm,
	"ExpiringSize":  strconv.Itoa(expiringSize),
	"InsertionSize": strconv.Itoa(insertionSize),
	"KeyAt":         strconv.Itoa(insertionSize + 1),
	"TagSize":       strconv.Itoa(tagSize),
	"SizeEnd":       strconv.Itoa(1 + sizeSize),
	"InsertionAt":   strconv.Itoa(2 + sizeSize),
	"InsertionEnd":  strconv.Itoa(1 + sizeSize + insertionSize),
	"TagAt":         strconv.Itoa(metaSize - tagSize + 1),
	"MetaSize":      strconv.Itoa(metaSize),
	"NumberAt":      strconv.Itoa(metaSize + 1),
	"ReplacedSize":  strconv.Itoa(replacedSize),
	"Mark":          strconv.Itoa(formMark),
	"ReplacedMark":  strconv.Itoa(formMark | formReplaced),
	"ReplacedBit":   strconv.Itoa(formReplaced),
	"ExpiresBit":    strconv.Itoa(formExpires),
	"ExpirySize":    strconv.Itoa(expirySize),
	"ForeignMark":   strconv.Itoa(formMark | foreignForm),
	"LargeFetch":    strconv.Itoa(largeFetch),
	"MostSize":      strconv.Itoa(mostSize),
}
