package content

import (
	"slices"
	"testing"
)

func TestFormFields(t *testing.T) {
	for _, c := range []struct {
		encoded string
		want    []string // names and values
	}{
		{"", nil},
		{"&&", nil},
		{"a=1&b=2&a=3", []string{"a", "1", "b", "2", "a", "3"}},
		{"a", []string{"a", ""}},
		{"a=", []string{"a", ""}},
		{"=", []string{"", ""}},
		{"=1", []string{"", "1"}},
		{"a=b=c&&", []string{"a", "b=c"}},
		{"value=a;b", []string{"value", "a;b"}},
		{"a;b=c", []string{"a;b", "c"}},
		{"a+b=c+%2B+d", []string{"a b", "c + d"}},
		{"k%65y=%C3%A9%c3%a9", []string{"key", "éé"}},
		{"a=%26%3d%25&b=%2541", []string{"a", "&=%", "b", "%41"}},
		{"a=%zz&b=%&c=%2&d=%%41&e=%4g", []string{"a", "%zz", "b", "%", "c", "%2", "d", "%A", "e", "%4g"}},
		{"a=%ff&b=\xfe", []string{"a", "\xff", "b", "\xfe"}},
		{"a=%00%0d%0A", []string{"a", "\x00\r\n"}},
	} {
		var got []string
		for name, value := range FormFields(c.encoded) {
			got = append(got, name, value)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.encoded, got, c.want)
		}
	}
	for range FormFields("a=1&b=2") {
		break // must end the iteration
	}
}
