package content

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestQuoted(t *testing.T) {
	var all strings.Builder
	for c := range rune(0x250) {
		all.WriteRune(c)
	}
	all.WriteString("\u2028\u2029😀")
	got := AppendQuoted(nil, all.String())
	if len(got) != QuotedLen(all.String()) {
		t.Errorf("%d bytes, announced as %d", len(got), QuotedLen(all.String()))
	}
	var back string
	if err := json.Unmarshal(got, &back); err != nil || back != all.String() {
		t.Errorf("%v: %q", err, got)
	}
}
