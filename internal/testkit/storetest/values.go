package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

var valueTests = []test{
	{"values with every byte come back as they are", func(f *fixture) {
		var every []byte
		for b := range 256 {
			every = append(every, byte(b))
		}
		f.roundTrip(map[string]store.Value{
			"raw":     {Data: every, Kind: store.Raw, ContentType: "application/octet-stream"},
			"string":  {Data: append([]byte("\x00\r\n"), every...), Kind: store.String},
			"json":    {Data: []byte(" {\"a\": 1.50, \"b\":\t1e400 }\n"), Kind: store.JSON},
			"newline": {Data: []byte("\r\n"), Kind: store.Raw, ContentType: "text/plain"},
			"number":  {Data: []byte("12345678901234567890"), Kind: store.String},
		})
	}},

	{"empty values are values", func(f *fixture) {
		f.roundTrip(map[string]store.Value{
			"raw":          {Kind: store.Raw, ContentType: "text/plain"},
			"raw, no type": {Data: []byte{}, Kind: store.Raw},
			"string":       {Kind: store.String},
		})
	}},

	{"values of 1 MiB come back as they are", func(f *fixture) {
		random := make([]byte, 1<<20)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range random {
			random[i] = byte(rng.Uint32())
		}
		f.roundTrip(map[string]store.Value{
			"random": {Data: random, Kind: store.Raw, ContentType: "application/octet-stream"},
			"zeros":  {Data: make([]byte, 1<<20), Kind: store.Raw},
			"text":   {Data: bytes.Repeat([]byte("x"), 1<<20), Kind: store.String},
		})
	}},

	{"content types come back as they are", func(f *fixture) {
		values := map[string]store.Value{}
		for _, ct := range []string{
			"", "text/plain", "text/plain; charset=utf-8", `multipart/form-data; boundary="a  b"`, " leading", "trailing ", "r", "é",
			strings.Repeat("x", 255),
		} {
			values["type "+ct] = store.Value{Data: []byte("v"), Kind: store.Raw, ContentType: ct}
		}
		f.roundTrip(values)
	}},

	{"keys of every sort are told apart", func(f *fixture) {
		values := map[string]store.Value{}
		for _, key := range oddKeys {
			values[key] = text("value of " + key)
		}
		f.roundTrip(values)
	}},

	{"keys of every sort can be evicted, deleted and replaced", func(f *fixture) {
		f.setLimits(store.Limits{MaxKeys: 1, Eviction: store.Rank.Name})
		for _, key := range oddKeys {
			f.write(create(key, "v"), store.Created)
			f.write(put(key, "w"), store.Replaced)
			f.wantKeys("stored", f.order(), key)
		}
		f.write(del(oddKeys[len(oddKeys)-1]), store.Deleted)
		f.wantKeys("stored", f.order())
	}},
}

// oddKeys are valid keys that a store could confuse.
var oddKeys = []string{
	"a", "A", "a/b", "a//b", "/", "a%2Fb", "%", "100%", "%%", "a b", " ", "  ", " a", "a ", "a\"b", `a\b`, "a'b",
	"🔑", "👩‍👩‍👧", "é", "e\u0301", "日本語", "*", "?", "[a]", "{a}", "{}", "}{", ":", "a:b", "-", "--", "+1", "0", "00", "-1", "1e3", "nan", "inf",
	"0000000000000001", "0000000000000001a", "ffffffffffffffff", "nil", "false", "number", "values", "<a>&", "\u2028", "\U0010ffff",
	strings.Repeat("k", 512), strings.Repeat("k", 511) + "l", strings.Repeat("🔑", 128),
}

// roundTrip creates all values in one batch and fetches them in one call. It also compares
// them with Inspect.
func (f *fixture) roundTrip(values map[string]store.Value) {
	f.Helper()
	var writes []store.Write
	var keys []string
	for key, v := range values {
		writes = append(writes, store.Write{Op: store.Create, Key: key, Value: v})
		keys = append(keys, key)
	}
	for i, res := range f.apply(writes...).Results {
		if res.Outcome != store.Created {
			f.Fatalf("creating %q: outcome %d (%s)", keys[i], res.Outcome, res.Reason)
		}
	}
	for i, e := range f.fetch(keys...).Entries {
		if e == nil {
			f.Errorf("%q is absent", keys[i])
			continue
		}
		if err := differ(e.Value, values[keys[i]]); err != nil {
			f.Errorf("fetching %q: %v", keys[i], err)
		}
	}
	rows := f.inspect()
	if len(rows) != len(values) {
		f.Errorf("%d entries are stored, want %d", len(rows), len(values))
	}
	for _, r := range rows {
		if err := differ(r.Entry.Value, values[r.Key]); err != nil {
			f.Errorf("inspecting %q: %v", r.Key, err)
		}
	}
	for i, w := range writes {
		if res := f.write(w, store.Conflict); !res.SameValue {
			f.Errorf("creating %q again: not the same value", keys[i])
		}
	}
}

func differ(got, want store.Value) error {
	if got.Kind != want.Kind || got.ContentType != want.ContentType || !bytes.Equal(got.Data, want.Data) {
		return fmt.Errorf("%s, want %s", describe(got), describe(want))
	}
	return nil
}
