package content

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestALineSharesNoBytesWithTheBuffer(t *testing.T) {
	for _, text := range []string{`{"key":"k","value":[1]}`, `{"key":"k","value":"v"}`} {
		line := []byte(text)
		l, err := DecodeLine(line, false)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(l.Value.Data)
		clear(line)
		if !bytes.Equal(l.Value.Data, before) || l.Key != "k" {
			t.Errorf("%s: the value changed to %q", text, l.Value.Data)
		}
	}
	large := []byte(`{"key":"k","value":1` + strings.Repeat(" ", 1000) + `}`)
	if l, err := DecodeLine(large, true); err != nil || cap(l.Value.Data) > 16 {
		t.Errorf("%d bytes are kept for %q, %v", cap(l.Value.Data), l.Value.Data, err)
	}
}

// FuzzDecodeLine checks that a line is taken only if it is a JSON object, and that the
// value is the value that was sent.
func FuzzDecodeLine(f *testing.F) {
	for _, seed := range []string{
		`{"key":"k","value":1}`, `{"op":"put","key":"k","value":"\ud83d\ude00"}`, `{"op":"delete","key":"k","if_match":"*"}`, `{"op":"get","key":"k"}`,
		`{"key":"k","base64":"AA==","content_type":"a/b"}`, ` { "key" : "k" , "value" : [ {} , 1e3 ] } `, `{"key":"k","value":{]}}`, `{"key":"k","value":1,}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		sent := bytes.Clone(line)
		l, err := DecodeLine(line, len(line)%2 == 0)
		if !bytes.Equal(sent, line) {
			t.Fatalf("%q was changed to %q", sent, line)
		}
		if err != nil {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(sent, &fields); err != nil {
			t.Fatalf("%q was taken: %v", sent, err)
		}
		text := func(name string) (s string) {
			_ = json.Unmarshal(fields[name], &s)
			return s
		}
		value := fields["value"]
		switch {
		case l.Key != text("key") || l.IfMatch != text("if_match") || l.IfNoneMatch != text("if_none_match") || l.Value.ContentType != text("content_type"):
			t.Fatalf("%q became %+v", sent, l)
		case l.Op != text("op") && (l.Op != "create" || fields["op"] != nil):
			t.Fatalf("%q has the op %q", sent, l.Op)
		case l.Value.Kind == store.JSON && !bytes.Equal(l.Value.Data, value),
			l.Value.Kind == store.String && string(l.Value.Data) != text("value"):
			t.Fatalf("%q has the value %q", sent, l.Value.Data)
		case l.Value.Kind == store.Raw:
			if want, err := base64.StdEncoding.DecodeString(text("base64")); err != nil || !bytes.Equal(want, l.Value.Data) {
				t.Fatalf("%q has the value %q", sent, l.Value.Data)
			}
		}
	})
}
