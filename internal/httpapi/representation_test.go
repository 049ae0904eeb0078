package httpapi

import (
	"encoding/json"
	"testing"
	"unsafe"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestRepresentation(t *testing.T) {
	version := store.Version{Number: 0x1f, Tag: 0xab}
	for _, c := range []struct {
		name      string
		value     store.Value
		plain     string
		plainType string
		rawType   string
		shared    bool // the value lies within the envelope
		mayAct    bool
	}{
		{"a string", store.Value{Data: []byte("world"), Kind: store.String}, `{"key":"k\"","value":"world"}`, typeJSON, typeText, true, false},
		{"no bytes", store.Value{Kind: store.String}, `{"key":"k\"","value":""}`, typeJSON, typeText, true, false},
		{"a string to escape", store.Value{Data: []byte("a\"\\\n\x01<é"), Kind: store.String}, `{"key":"k\"","value":"a\"\\\n\u0001<é"}`, typeJSON, typeText, false, false},
		{"JSON", store.Value{Data: []byte(`[1, "<"]`), Kind: store.JSON}, `{"key":"k\"","value":[1, "<"]}`, typeJSON, typeJSON, true, false},
		{"bytes", store.Value{Data: []byte("\xff"), Kind: store.Raw, ContentType: "image/png"}, "\xff", "image/png", "image/png", false, false},
		{"a picture that can have scripts", store.Value{Data: []byte("<svg/>"), Kind: store.Raw, ContentType: "image/svg+xml"}, "<svg/>", "image/svg+xml", "image/svg+xml", false, true},
		{"a page behind a text", store.Value{Data: []byte("x"), Kind: store.Raw, ContentType: "text/plain; a=b, text/html"}, "x", "text/plain; a=b, text/html", "text/plain; a=b, text/html", false, true},
		// Other programs may write these to the store:
		{"bytes without a type", store.Value{Data: []byte("x"), Kind: store.Raw}, "x", typeOctetStream, typeOctetStream, false, false},
		{"bytes with a bad type", store.Value{Data: []byte("x"), Kind: store.Raw, ContentType: "a\r\nb: c"}, "x", typeOctetStream, typeOctetStream, false, false},
		{"bytes with a type that is not UTF-8", store.Value{Data: []byte("x"), Kind: store.Raw, ContentType: "text/\xff"}, "x", typeOctetStream, typeOctetStream, false, false},
		{"a string that is not UTF-8", store.Value{Data: []byte("a\xff"), Kind: store.String}, "a\xff", typeOctetStream, typeOctetStream, false, false},
		{"JSON that is not", store.Value{Data: []byte("world"), Kind: store.JSON}, "world", typeOctetStream, typeOctetStream, false, false},
		{"JSON that is not UTF-8", store.Value{Data: []byte("\"\xff\""), Kind: store.JSON}, "\"\xff\"", typeOctetStream, typeOctetStream, false, false},
		{"an unknown kind", store.Value{Data: []byte("x"), Kind: '?', ContentType: "text/html"}, "x", typeOctetStream, typeOctetStream, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &store.Entry{Value: c.value, Version: version}
			value := string(c.value.Data)
			p, size := Prepare(`k"`, e)
			v := p.(*representations)
			if string(v.plain.body) != c.plain || v.plain.contentType != c.plainType {
				t.Errorf("plain is %q, %s", v.plain.body, v.plain.contentType)
			}
			if string(v.raw.body) != value || v.raw.contentType != c.rawType || !v.raw.isRaw || v.raw.mayAct != c.mayAct {
				t.Errorf("raw is %q, %+v", v.raw.body, v.raw)
			}
			if string(e.Data) != value {
				t.Errorf("the data became %q", e.Data)
			}
			if v.etag != `"1f000000ab"` {
				t.Errorf("the ETag is %s", v.etag)
			}

			// What they take in all is a matter of TestTheLocalTierTakesTheMemoryThatItCounts.
			least := int(unsafe.Sizeof(representations{})) + len(v.etag) + len(v.plain.length) + len(v.raw.length) + len(c.plain)
			if c.plainType == typeJSON && !c.shared {
				least += len(value)
			}
			if most := least + least/8 + 64; size < least || size > most {
				t.Errorf("the size is %d, want %d to %d", size, least, most)
			}
			if c.plainType == typeJSON {
				if cap(v.plain.body) != len(v.plain.body) {
					t.Errorf("the envelope has %d bytes and room for %d", len(v.plain.body), cap(v.plain.body))
				}
				if !json.Valid(v.plain.body) {
					t.Error("the envelope is not JSON")
				}
			}
			if c.shared && len(value) > 0 && !overlap(v.plain.body, e.Data) {
				t.Error("the value is held twice")
			}
		})
	}
}

func overlap(a, b []byte) bool {
	start, end := uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return end >= start && end < start+uintptr(len(a))
}

func TestNoVersionNoETag(t *testing.T) {
	p, _ := Prepare("k", &store.Entry{Value: store.Value{Data: []byte("v"), Kind: store.String}})
	if v := p.(*representations); v.etag != "" {
		t.Error(v.etag)
	}
}
