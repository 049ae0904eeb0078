package redisstore

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// For the tests outside this package, which look into Redis directly.

// Counted returns the bytes that a head counts.
func Counted(head string) int64 { return decodeHead(head).bytes }

// Turned returns the clock and the window in a head.
func Turned(head string) (clock, window float64) {
	if len(head) != headSize {
		return 0, 0
	}
	number := func(at int) float64 { return math.Float64frombits(binary.BigEndian.Uint64([]byte(head[at : at+8]))) }
	return number(clockAt), number(clockAt + 8)
}

// ExpiryOf returns the time at which an entry expires, by its meta.
func ExpiryOf(text string) time.Time {
	m, _ := decodeMeta(text)
	return m.expiry()
}

// Expiring returns the latest time of the store, and the number of entries that expire, by
// the field expiring of the state.
func Expiring(field string) (latest time.Time, n int) {
	if len(field) != expiringSize {
		return time.Time{}, 0
	}
	return time.UnixMilli(int64(number6(field))), int(number6(field[expirySize:]))
}

// Advanced returns the field with another latest time of the store.
func Advanced(field string, to time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(to.UnixMilli()))[2:]) + field[expirySize:]
}

// KeyOf returns the key in a member of the ranks; "" if there is none.
func KeyOf(member string) string {
	_, key, _ := cutMember(member)
	return key
}

// MemberOf returns the member of the ranks for an entry.
func MemberOf(insertion uint64, key string) string { return memberOf(insertion, key) }

// EntryOf returns an entry with the insertion number and the size in its meta.
func EntryOf(value, meta string) (e *store.Entry, insertion uint64, size int) {
	m, ok := decodeMeta(meta)
	if !ok {
		return decodeEntry(value, meta), 0, 0
	}
	return decodeEntry(value, meta), m.insertion, int(meta[1])<<16 | int(meta[2])<<8 | int(meta[3])
}

func TestFormsNeverChangeTheirMeaning(t *testing.T) {
	for i, want := range []store.Value{
		{Kind: store.Raw},
		{Kind: store.String},
		{Kind: store.JSON},
		{Kind: store.Raw},
		{Kind: store.Raw, ContentType: "text/plain"},
		{Kind: store.Raw, ContentType: "text/plain; charset=utf-8"},
		{Kind: store.Raw, ContentType: "application/octet-stream"},
		{Kind: store.Raw, ContentType: "application/json"},
	} {
		if got := forms[i]; got.Kind != want.Kind || got.ContentType != want.ContentType {
			t.Errorf("form %d is %+v, want %+v: entries that are stored would change", i, got, want)
		}
	}
	if len(forms) > formReplaced/2 {
		t.Errorf("%d forms: the upper half is kept for entries that expire", len(forms))
	}
	for _, v := range append(forms, store.Value{Kind: store.Raw, ContentType: "x/y"}, store.Value{Kind: store.Raw, ContentType: string(make([]byte, store.MaxContentType))}) {
		attrs := attrsOf(&store.Write{Value: v})
		m, ok := decodeMeta(attrs[:1+sizeSize] + "\x00\x00\x00\x00\x00\x07tagX" + attrs[1+sizeSize:])
		if !ok || m.kind != v.Kind || m.contentType != v.ContentType || m.insertion != 7 {
			t.Errorf("%+v became %+v", v, m)
		}
	}
}
