package storetest

import "github.com/redis-proxy/caddy-redis-proxy/engine/store"

var versionTests = []test{
	{"the number rises by one with every write that changes something", func(f *fixture) {
		f.apply(create("x", "1"))
		last := f.apply().Number
		for _, step := range []struct {
			w     store.Write
			rises uint64
		}{
			{create("a", "1"), 1},
			{create("a", "1"), 0},
			{put("a", "1"), 1}, // a write of equal bytes is still a write
			{store.Write{Op: store.Put, Key: "a", IfNoneMatch: store.AnyVersion, Value: text("2")}, 0},
			{put("b", "1"), 1},
			{del("none"), 0},
			{del("a"), 1},
		} {
			a := f.apply(step.w)
			if a.Number != last+step.rises {
				f.Errorf("after %c %q: number %d, want %d", step.w.Op, step.w.Key, a.Number, last+step.rises)
			}
			last = a.Number
			if step.rises > 0 && a.Results[0].Version.Number != a.Number {
				f.Errorf("%c %q has version %s, the batch number %d", step.w.Op, step.w.Key, a.Results[0].Version, a.Number)
			}
		}
	}},

	{"a fetch reports the number of the last write", func(f *fixture) {
		n := f.apply(create("a", "1"), create("b", "1")).Number
		if got := f.fetch("a").Number; got != n {
			f.Errorf("number %d, want %d", got, n)
		}
		if got := f.fetch("none").Number; got != n {
			f.Errorf("fetching an absent key: number %d, want %d", got, n)
		}
		n = f.apply(del("b")).Number
		if got := f.fetch("a").Number; got != n {
			f.Errorf("after a delete: number %d, want %d", got, n)
		}
	}},

	{"no two writes have the same version", func(f *fixture) {
		seen := map[string]bool{}
		for range 20 {
			a := f.apply(put("a", "1"), put("a", "1"), put("b", "1"), del("b"))
			for i, res := range a.Results {
				if seen[res.Version.String()] {
					f.Errorf("write %d got %s again", i, res.Version)
				}
				seen[res.Version.String()] = true
			}
		}
	}},

	{"the tag is drawn anew", func(f *fixture) {
		tags := map[uint32]bool{}
		for range 5 {
			tags[f.write(put("k", "v"), f.putOutcome("k")).Version.Tag] = true
		}
		if len(tags) < 2 {
			f.Error("five batches had one tag")
		}
	}},

	{"conditions decide on a put of an existing key", func(f *fixture) {
		n := len(conditions(store.Version{}, store.Version{}))
		for i := range n {
			f.write(put("k", "0"), f.putOutcome("k"))
			old := f.write(put("k", "1"), store.Replaced).Version
			cur := f.write(put("k", "2"), store.Replaced).Version
			f.condition(conditions(old, cur)[i], store.Put, store.Replaced, cur)
		}
	}},

	{"conditions decide on a delete of an existing key", func(f *fixture) {
		n := len(conditions(store.Version{}, store.Version{}))
		for i := range n {
			f.write(put("k", "0"), f.putOutcome("k"))
			old := f.write(put("k", "1"), store.Replaced).Version
			cur := f.write(put("k", "2"), store.Replaced).Version
			f.condition(conditions(old, cur)[i], store.Delete, store.Deleted, cur)
		}
	}},

	{"a put with IfMatch of an absent key fails", func(f *fixture) {
		gone := f.write(create("k", "1"), store.Created).Version
		f.write(del("k"), store.Deleted)
		for _, set := range []store.VersionSet{store.AnyVersion, store.NewVersionSet(gone.String()), store.NewVersionSet()} {
			w := put("k", "2")
			w.IfMatch = set
			if res := f.write(w, store.PreconditionFailed); res.Version != (store.Version{}) {
				f.Errorf("%q: version %s of an absent key", set, res.Version)
			}
		}
		f.wantKeys("stored", f.order())
	}},

	{"a put with IfNoneMatch of an absent key creates it", func(f *fixture) {
		w := put("k", "1")
		w.IfNoneMatch = store.AnyVersion
		f.write(w, store.Created)
		f.write(w, store.PreconditionFailed)
	}},

	{"conditions do not count where nothing would change", func(f *fixture) {
		v := f.write(create("k", "1"), store.Created).Version
		other := store.NewVersionSet("1ffffffff")
		w := create("k", "2")
		w.IfMatch, w.IfNoneMatch = other, store.AnyVersion
		if res := f.write(w, store.Conflict); res.Version != v {
			f.Errorf("version %s, want %s", res.Version, v)
		}
		w = del("none")
		w.IfMatch, w.IfNoneMatch = other, store.AnyVersion
		f.write(w, store.Absent)
	}},
}

type condition struct {
	name                 string
	ifMatch, ifNoneMatch store.VersionSet
	allowed              bool
}

// conditions are conditions for an entry of version cur that had version old before.
func conditions(old, cur store.Version) []condition {
	is, was := store.NewVersionSet(cur.String()), store.NewVersionSet(old.String())
	both := store.NewVersionSet(old.String(), cur.String())
	return []condition{
		{"IfMatch of an old version", was, "", false},
		{"IfMatch of no version", store.NewVersionSet(), "", false},
		{"IfNoneMatch of the version", "", is, false},
		{"IfNoneMatch of the version among others", "", both, false},
		{"IfNoneMatch of any", "", store.AnyVersion, false},
		{"IfMatch of the version, IfNoneMatch of it too", is, is, false},
		{"IfMatch of the version", is, "", true},
		{"IfMatch of the version among others", both, "", true},
		{"IfMatch of any", store.AnyVersion, "", true},
		{"IfNoneMatch of an old version", "", was, true},
		{"IfNoneMatch of no version", "", store.NewVersionSet(), true},
		{"IfMatch of the version, IfNoneMatch of an old one", is, was, true},
	}
}

// condition runs a write on key k, whose version is cur.
func (f *fixture) condition(c condition, op store.Op, then store.Outcome, cur store.Version) {
	f.Helper()
	w := store.Write{Op: op, Key: "k", Value: text("new"), IfMatch: c.ifMatch, IfNoneMatch: c.ifNoneMatch}
	if op == store.Delete {
		w.Value = store.Value{}
	}
	before := f.inspect()
	res := f.apply(w).Results[0]
	if c.allowed {
		if res.Outcome != then || res.Version == cur {
			f.Errorf("%s: %+v, want outcome %d", c.name, res, then)
		}
		return
	}
	if res.Outcome != store.PreconditionFailed || res.Version != cur {
		f.Errorf("%s: %+v, want a failed precondition on %s", c.name, res, cur)
	}
	if after := f.inspect(); len(after) != 1 || after[0].String() != before[0].String() {
		f.Errorf("%s: changed %v to %v", c.name, before, after)
	}
}

// putOutcome returns the expected outcome of a put of key.
func (f *fixture) putOutcome(key string) store.Outcome {
	for _, k := range f.order() {
		if k == key {
			return store.Replaced
		}
	}
	return store.Created
}
