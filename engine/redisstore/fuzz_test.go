package redisstore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func FuzzDecodeEntry(f *testing.F) {
	for _, meta := range []string{
		"", " ", "1 1 00000000 r ", "1 2a deadbeef s ", "ff 100 00000001 j ", "1 2 0000000a r text/plain; charset=utf-8",
		"1 2 0000000a r a b  c ", "1 2 0000000a r \xff", "1 0 00000001 r ", "1 2 0000000A r x", "1 2 000000a r x", "1 2 0000000a rr x", "1 2 0000000a x x",
		"x 2 0000000a r x", " 2 0000000a r x", "11111111111111111 2 0000000a r x", "1 11111111111111111 0000000a r x",
		"1 -2 0000000a r x", "1 +2 0000000a r x", "1 2 0x00000a r x", "1 2 0000000a r", "1\t2\t0000000a\tr\tx", "\xff 2 0000000a r \x00",
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
		// Meta that was understood has the form in which scripts read it.
		insertion, rest, _ := strings.Cut(meta, " ")
		if insertion == "" || len(insertion) > 16 || strings.Trim(insertion, "0123456789abcdefABCDEF") != "" {
			t.Fatalf("insertion number %q was taken", insertion)
		}
		number, _, _ := strings.Cut(rest, " ")
		again := fmt.Sprintf("%0*x %08x %c ", len(number), e.Version.Number, e.Version.Tag, e.Kind)
		if len(rest) < len(again) || !strings.EqualFold(again, rest[:len(again)]) {
			t.Fatalf("%q became %q", rest, again)
		}
		contentType := rest[len(again):]
		if isNone := store.CheckContentType(contentType) != nil; isNone && e.ContentType != "" || !isNone && e.ContentType != contentType {
			t.Fatalf("the content type %q became %q", contentType, e.ContentType)
		}
	})
}

func FuzzReadResult(f *testing.F) {
	for _, answer := range []string{
		"", "created 1deadbeef", "replaced 2a0000000f", "deleted 100000000f", "conflict 1deadbeef same", "conflict 1deadbeef", "conflict ",
		"conflict  same", "absent", "failed ", "failed 1deadbeef", "large", "refused OOM command not allowed", "refused", "created", "created x", "Created 1",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		r, err := readResult(answer)
		name, rest, _ := strings.Cut(answer, " ")
		if _, known := outcomes[name]; known != (err == nil) || known != (r.Outcome != 0) {
			t.Fatalf("%+v, %v", r, err)
		}
		if r.Outcome == store.Refused && r.Reason != rest {
			t.Fatalf("reason %q", r.Reason)
		}
		if r.Version.Number != 0 {
			version, _, _ := strings.Cut(rest, " ")
			if got := r.Version.String(); !strings.EqualFold(got, strings.TrimLeft(version[:len(version)-8], "0")+version[len(version)-8:]) {
				t.Fatalf("version %s", got)
			}
		}
	})
}

// TestOurOwnEventsAreCutApart fails when apply.lua and cutEvent part ways: then
// every event would be read the slow way.
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
		`{"version":2,"number":3,"changes":[["created","a",2],["evicted","b",2],["deleted","c",3]]}`,
		`{"version":2,"number":0,"changes":{}}`, `{"version":2,"number":1,"changes":null}`, `{"version":3,"number":1,"changes":[]}`,
		`{"version":2,"number":1,"changes":[["created","a"]]}`, `{"version":2,"number":1,"changes":[[]]}`, `{"version":2,"number":1,"changes":[["a","b",1,2]]}`,
		`{"version":2,"number":-1,"changes":[]}`, `{"version":2,"number":1e3,"changes":[]}`, `{"version":2,"number":1,"changes":[[1,2,"3"]]}`,
		`{"version":2,"number":1,"changes":[["created","\ud800",1]]}`, `[]`,
		`{"version":2,"number":42,"tag":"9f3a2b1c","previous":"299f3a2b1c","epoch":"d03f7c11","changes":[["evicted","hello",41],["created","ключ",41],["deleted","a b",42]]}`,
		`{"version":2,"number":9007199254740992,"tag":"","previous":"","epoch":"","changes":[]}`, `{"version":2,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","b",01]]}`,
		`{"version":2,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","\"",1]]}`, `{"version":2,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","b",1],]}`,
		`{"version":2,"number":1,"tag":"","previous":"","epoch":"","changes":[["a","\\/\\\\/",1]]}`,
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
		}{eventVersion, e.ID.Number, e.ID.String()[len(e.ID.String())-8:], e.Previous.String(), e.Epoch, nil}
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
