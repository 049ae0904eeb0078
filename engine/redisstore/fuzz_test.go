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
		"1 2 0000000a r a b  c ", "1 0 00000001 r ", "1 2 0000000A r x", "1 2 000000a r x", "1 2 0000000a rr x", "1 2 0000000a x x",
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
		again := fmt.Sprintf("%0*x %08x %c %s", len(number), e.Version.Number, e.Version.Tag, e.Kind, e.ContentType)
		if !strings.EqualFold(again, rest) || !strings.HasSuffix(rest, e.ContentType) {
			t.Fatalf("%q became %q", rest, again)
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

func FuzzDecodeEvent(f *testing.F) {
	for _, payload := range []string{
		`{"version":1,"number":3,"changes":[["created","a",2],["evicted","b",2],["deleted","c",3]]}`,
		`{"version":1,"number":0,"changes":{}}`, `{"version":1,"number":1,"changes":null}`, `{"version":2,"number":1,"changes":[]}`,
		`{"version":1,"number":1,"changes":[["created","a"]]}`, `{"version":1,"number":1,"changes":[[]]}`, `{"version":1,"number":1,"changes":[["a","b",1,2]]}`,
		`{"version":1,"number":-1,"changes":[]}`, `{"version":1,"number":1e3,"changes":[]}`, `{"version":1,"number":1,"changes":[[1,2,"3"]]}`,
		`{"version":1,"number":1,"changes":[["created","\ud800",1]]}`, `[]`, ``, `null`, `{"version":1}`,
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		e, err := decodeEvent(payload)
		if err != nil {
			return
		}
		wire := struct {
			Version int      `json:"version"`
			Number  uint64   `json:"number"`
			Changes [][3]any `json:"changes"`
		}{1, e.Number, nil}
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
