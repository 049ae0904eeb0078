package storetest

import "github.com/redis-proxy/caddy-redis-proxy/engine/store"

var writeTests = []test{
	{"a create stores the value of an absent key", func(f *fixture) {
		res := f.write(create("k", "v"), store.Created)
		e := f.value("k")
		if string(e.Data) != "v" || e.Kind != store.String || e.Version != res.Version {
			f.Errorf("stored %s, version %s; created %s", describe(e.Value), e.Version, res.Version)
		}
	}},

	{"a create of an existing key changes nothing", func(f *fixture) {
		first := f.write(create("k", "v"), store.Created)
		f.value("k")
		before := f.inspect()[0].String()
		a := f.apply(create("k", "other"))
		res := a.Results[0]
		if res.Outcome != store.Conflict || res.SameValue || res.Version != first.Version {
			f.Errorf("answer %+v, want a conflict with version %s", res, first.Version)
		}
		if a.Number != first.Version.Number {
			f.Errorf("the number went from %d to %d", first.Version.Number, a.Number)
		}
		if got := f.inspect()[0].String(); got != before {
			f.Errorf("changed from\n%s to\n%s", before, got)
		}
	}},

	{"a conflict tells whether data, kind and content type are all the same", func(f *fixture) {
		v := store.Value{Data: []byte("7"), Kind: store.Raw, ContentType: "text/a b; c=d"}
		f.write(store.Write{Op: store.Create, Key: "k", Value: v}, store.Created)
		data, kind, contentType := v, v, v
		data.Data = []byte("8")
		kind.Kind = store.JSON
		contentType.ContentType = "text/a"
		for _, tt := range []struct {
			what string
			v    store.Value
			same bool
		}{
			{"the same", v, true},
			{"other data", data, false},
			{"another kind", kind, false},
			{"another content type", contentType, false},
		} {
			res := f.write(store.Write{Op: store.Create, Key: "k", Value: tt.v}, store.Conflict)
			if res.SameValue != tt.same {
				f.Errorf("%s: SameValue %v", tt.what, res.SameValue)
			}
		}
	}},

	{"a create without a conflict says nothing of the same value", func(f *fixture) {
		if f.write(create("k", ""), store.Created).SameValue {
			f.Error("SameValue")
		}
	}},

	{"a put creates an absent key", func(f *fixture) {
		res := f.write(put("k", "v"), store.Created)
		e := f.value("k")
		if string(e.Data) != "v" || e.Version != res.Version {
			f.Errorf("stored %s, version %s", describe(e.Value), e.Version)
		}
	}},

	{"a put replaces the value and keeps rank and age", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "1"), create("c", "1"))
		f.fetch("b")
		before := f.inspect()
		f.write(put("a", "2"), store.Replaced)
		f.write(put("b", "2"), store.Replaced)
		after := f.inspect()
		for i := range before {
			if after[i].Key != before[i].Key || after[i].Score != before[i].Score || after[i].Insertion != before[i].Insertion {
				f.Errorf("place %d went from %s to %s", i, before[i], after[i])
			}
		}
		if e := f.value("b"); string(e.Data) != "2" {
			f.Errorf("stored %s", describe(e.Value))
		}
	}},

	{"a put replaces kind and content type too", func(f *fixture) {
		f.write(create("k", "v"), store.Created)
		f.write(store.Write{Op: store.Put, Key: "k", Value: store.Value{
			Data: []byte("v"), Kind: store.Raw, ContentType: "image/png",
		}}, store.Replaced)
		if e := f.value("k"); e.Kind != store.Raw || e.ContentType != "image/png" {
			f.Errorf("stored %s", describe(e.Value))
		}
	}},

	{"a delete removes the entry", func(f *fixture) {
		f.apply(create("k", "v"), create("other", "v"))
		f.write(del("k"), store.Deleted)
		if e := f.fetch("k").Entries[0]; e != nil {
			f.Errorf("still there: %s", describe(e.Value))
		}
		f.wantKeys("left", f.order(), "other")
	}},

	{"a delete of an absent key is no write", func(f *fixture) {
		before := f.apply(create("other", "v")).Number
		a := f.apply(del("k"))
		if a.Results[0].Outcome != store.Absent || a.Number != before {
			f.Errorf("outcome %d, number %d after %d", a.Results[0].Outcome, a.Number, before)
		}
	}},

	{"rank: a key that was deleted comes back as the youngest, with no rank", func(f *fixture) {
		f.apply(create("a", "1"), create("b", "1"))
		f.fetch("a")
		f.write(del("a"), store.Deleted)
		f.write(create("a", "2"), store.Created)
		if s := f.score("a"); s != 0 {
			f.Errorf("score %v", s)
		}
		f.wantKeys("order", f.order(), "b", "a")
	}},

	{"an answer counts keys and bytes", func(f *fixture) {
		for _, step := range []struct {
			w     store.Write
			keys  int
			bytes int64
		}{
			{create("ab", "cde"), 1, 5},
			{create("é", ""), 2, 7},
			{create("ab", "longer than before"), 2, 7},
			{put("ab", "c"), 2, 5},
			{put("ab", "cdef"), 2, 8},
			{del("é"), 1, 6},
			{del("é"), 1, 6},
			{del("ab"), 0, 0},
		} {
			a := f.apply(step.w)
			if a.Keys != step.keys || a.Bytes != step.bytes {
				f.Errorf("after %c %q: %d keys and %d bytes, want %d and %d",
					step.w.Op, step.w.Key, a.Keys, a.Bytes, step.keys, step.bytes)
			}
			if a.Over || len(a.Evicted) > 0 {
				f.Errorf("after %c %q: over %v, evicted %q", step.w.Op, step.w.Key, a.Over, a.Evicted)
			}
		}
	}},
}
