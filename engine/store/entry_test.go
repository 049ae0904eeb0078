package store

import "testing"

func TestAVersionIsWrittenInHexadecimal(t *testing.T) {
	for _, tt := range []struct {
		v    Version
		want string
	}{
		{Version{Number: 1, Tag: 0}, "100000000"},
		{Version{Number: 0x1f, Tag: 0xabc}, "1f00000abc"},
		{Version{Number: 1<<64 - 1, Tag: 1<<32 - 1}, "ffffffffffffffffffffffff"},
	} {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.v, got, tt.want)
		}
	}
}

func TestConditionsAllowAWriteOrNot(t *testing.T) {
	v := Version{Number: 0x12, Tag: 0x34}
	is, other := NewVersionSet(v.String()), NewVersionSet("1200000035")
	both := NewVersionSet("1200000035", v.String())
	// Parts of a version are not the version.
	part := NewVersionSet("200000034", "12000000", "12000000340")
	for _, tt := range []struct {
		name                 string
		ifMatch, ifNoneMatch VersionSet
		exists, absent       bool
	}{
		{"no condition", "", "", true, true},
		{"IfMatch of the version", is, "", true, false},
		{"IfMatch of the version among others", both, "", true, false},
		{"IfMatch of another", other, "", false, false},
		{"IfMatch of parts of the version", part, "", false, false},
		{"IfMatch of any", AnyVersion, "", true, false},
		{"IfMatch of none", NewVersionSet(), "", false, false},
		{"IfNoneMatch of the version", "", is, false, true},
		{"IfNoneMatch of the version among others", "", both, false, true},
		{"IfNoneMatch of another", "", other, true, true},
		{"IfNoneMatch of parts of the version", "", part, true, true},
		{"IfNoneMatch of any", "", AnyVersion, false, true},
		{"IfNoneMatch of none", "", NewVersionSet(), true, true},
		{"IfMatch holds, IfNoneMatch does not", is, AnyVersion, false, false},
		{"both hold", is, other, true, false},
	} {
		if got := Allows(tt.ifMatch, tt.ifNoneMatch, &v); got != tt.exists {
			t.Errorf("%s, of an entry: %v", tt.name, got)
		}
		if got := Allows(tt.ifMatch, tt.ifNoneMatch, nil); got != tt.absent {
			t.Errorf("%s, of an absent key: %v", tt.name, got)
		}
	}
}
