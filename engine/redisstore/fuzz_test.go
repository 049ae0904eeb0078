package redisstore

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func FuzzDecodeEntry(f *testing.F) {
	const numbers = "\x00\x00\x01\x00\x00\x00\x00\x00\x07tagX"
	for _, meta := range []string{
		"", " ", "\x81" + numbers, "\x82" + numbers, "\x80" + numbers + "text/x; charset=utf-8", "\x80" + numbers + "\xff",
		"\xc1" + numbers + "\x00\x00\x00\x00\x00\x09", "\xc1" + numbers, "\x01" + numbers, "\xbf" + numbers, "1 1 00000000 r x",
		"\xc0" + numbers + "\x00\x00\x00\x00\x00\x00x", "\xc0" + numbers + "\x00\x00\x00\x00\x00\x01x", "\x85" + numbers[1:],
	} {
		f.Add("value", meta)
	}
	f.Fuzz(func(t *testing.T, value, meta string) {
		e := decodeEntry(value, meta)
		if string(e.Data) != value {
			t.Fatalf("the value became %q", e.Data)
		}
		if e.Version.Number == 0 {
			if e.Kind != store.Raw || e.ContentType != "" || e.Version != (store.Version{}) {
				t.Fatalf("not raw, or with a tag, and without a version: %+v", e)
			}
			return
		}
		// Meta that was understood begins as we would write it.
		m, _ := decodeMeta(meta)
		if store.CheckContentType(m.contentType) != nil && e.ContentType != "" {
			t.Fatalf("the content type %q became %q", m.contentType, e.ContentType)
		}
		form, rest := formOf(&store.Value{Kind: m.kind, ContentType: m.contentType})
		isOther := meta[0]&^(formMark|formReplaced) == otherForm
		if !isOther && (form != meta[0]&^formReplaced || rest != "") || isOther && !strings.HasSuffix(meta, m.contentType) {
			t.Fatalf("%q became %+v", meta, m)
		}
		if !strings.HasPrefix(meta[1+sizeSize:], memberOf(m.insertion, "")) {
			t.Fatalf("%q became %+v", meta, m)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	for _, text := range []string{"", "c", "cpds", "k0123456789c", "K012345678", "f0123456789a", "rOOM command not allowed\x00c", "r", "x", "lal"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := answers{rest: text, version: store.Version{Number: 7, Tag: 1}}
		changed := uint64(7)
		for a.rest != "" {
			before := len(a.rest)
			r, err := a.next()
			if err != nil {
				return
			}
			if len(a.rest) >= before || r.Outcome == 0 {
				t.Fatalf("%+v, %d bytes after %d", r, len(a.rest), before)
			}
			switch r.Outcome {
			case store.Created, store.Replaced, store.Deleted:
				if changed++; r.Version != (store.Version{Number: changed, Tag: 1}) {
					t.Fatalf("%+v at %d", r, changed)
				}
			case store.TooMuchAtOnce:
				changed++
			}
		}
	})
}

// TestOurOwnEventsAreCutApart fails if cutEvent does not understand the events of
// commit.lua. Every event would then be read the slow way.
func TestOurOwnEventsAreCutApart(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 2
	subscription := f.redis.Subscribe(f.ctx(), "{cache}:events:0")
	defer subscription.Close()
	if _, err := subscription.Receive(f.ctx()); err != nil {
		t.Fatal(err)
	}
	f.apply(create("a", "1"), create("b", "1"), create("c/ключ", "1"), put("b", "2"), remove("b"))
	message, err := subscription.ReceiveMessage(f.ctx())
	if err != nil {
		t.Fatal(err)
	}
	e, ok := cutEvent(message.Payload)
	if !ok || e.ID.Number != 5 || e.Previous != (store.Version{}) || len(e.Changes) != 6 {
		t.Errorf("%v, %+v from %s", ok, e, message.Payload)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, payload := range []string{
		`{"version":3,"number":3,"changes":[["created","a",2],["evicted","b",2],["deleted","c",3]]}`,
		`{"version":3,"number":0,"changes":{}}`, `{"version":3,"number":1,"changes":null}`, `{"version":4,"number":1,"changes":[]}`,
		`{"version":3,"number":1,"changes":[["created","a"]]}`, `{"version":3,"number":1,"changes":[[]]}`, `{"version":3,"number":1,"changes":[["a","b",1,2]]}`,
		`{"version":3,"number":-1,"changes":[]}`, `{"version":3,"number":1e3,"changes":[]}`, `{"version":3,"number":1,"changes":[[1,2,"3"]]}`,
		`{"version":3,"number":1,"changes":[["created","\ud800",1]]}`, `[]`,
		`{"version":3,"number":42,"tag":"9f3a2b1c","previous":"299f3a2b1c","epoch":"d03f7c11","changes":[["evicted","hello",41],["created","ключ",41],["deleted","a b",42]]}`,
		`{"version":3,"number":9007199254740992,"tag":"","previous":"","epoch":"","changes":[]}`, `{"version":3,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","b",01]]}`,
		`{"version":3,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","\"",1]]}`, `{"version":3,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","b",1],]}`,
		`{"version":3,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","\\/\\\\/",1]]}`,
		"{\"version\":2,\"number\":1,\"tag\":\"\",\"previous\":\"\",\"epoch\":\"\",\"changes\":[[\"a\",\"\xff\",1]]}", ``, `null`, `{"version":3}`,
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		e, err := parseEvent(payload)
		if cut, ok := cutEvent(payload); ok && (err != nil || !reflect.DeepEqual(cut, e)) {
			t.Fatalf("cut apart it is %+v, as JSON %+v, %v", cut, e, err)
		}
		if err != nil {
			return
		}
		wire := struct {
			Version  int      `json:"version"`
			Number   uint64   `json:"number"`
			Tag      string   `json:"tag"`
			Previous string   `json:"previous"`
			Epoch    string   `json:"epoch"`
			Changes  [][3]any `json:"changes"`
		}{EventVersion, e.ID.Number, e.ID.String()[len(e.ID.String())-8:], e.Previous.String(), e.Epoch, nil}
		for _, c := range e.Changes {
			wire.Changes = append(wire.Changes, [3]any{c.What, c.Key, c.Number})
		}
		again, err := json.Marshal(wire)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeEvent(string(again)); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v became %+v, %v", e, got, err)
		}
	})
}
