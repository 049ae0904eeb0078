package content

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestASmallValueKeepsNoLargeBody(t *testing.T) {
	for _, body := range []string{
		`{"value":1` + strings.Repeat(" ", 1000) + `}`,
		`{"value":"v"` + strings.Repeat(" ", 1000) + `}`,
	} {
		c, err := DecodeJSON([]byte(body))
		if err != nil || cap(c.Value.Data) > 16 {
			t.Errorf("%d bytes are kept for %q, %v", cap(c.Value.Data), c.Value.Data, err)
		}
	}
}

// FuzzDecodeJSON checks that a decoded value is the value that was sent: byte for byte, or
// an equal string.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"value":1}`, `{"key":"k","value":"\ud83d\ude00"}`, `{"value":"\ud800"}`, `{"value":{}}x`, ` { "value" : [ ] } `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		c, err := DecodeJSON(body)
		if err != nil {
			return
		}
		var want struct{ Value json.RawMessage }
		if err := json.Unmarshal(sent, &want); err != nil {
			t.Fatalf("%q was taken: %v", sent, err)
		}
		if c.Value.Kind == store.JSON {
			if !bytes.Equal(c.Value.Data, want.Value) {
				t.Fatalf("got %q, want %q", c.Value.Data, want.Value)
			}
			return
		}
		quoted := AppendQuoted(nil, c.Value.Data)
		if len(quoted) != QuotedLen(c.Value.Data) {
			t.Fatalf("%q has %d bytes, announced as %d", quoted, len(quoted), QuotedLen(c.Value.Data))
		}
		var a, b string
		if json.Unmarshal(quoted, &a) != nil || json.Unmarshal(want.Value, &b) != nil || a != b {
			t.Fatalf("got %q, want %q", quoted, want.Value)
		}
	})
}
