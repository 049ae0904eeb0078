package storetest

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// RunModel runs random operations on stores and on a model. After every step it compares
// answers, evictions and the stored entries. It does so once for each eviction policy, and
// once with changing policies. It closes each store that it opens.
func RunModel(t *testing.T, open func(t *testing.T) Harness) {
	for _, policy := range store.Policies {
		t.Run(policy.Name, func(t *testing.T) { runModel(t, open, policy.Name) })
	}
	t.Run("switching", func(t *testing.T) { RunSwitchingModel(t, open) })
}

// RunSwitchingModel is the part of RunModel with changing policies.
func RunSwitchingModel(t *testing.T, open func(t *testing.T) Harness) {
	var all []string
	for _, policy := range store.Policies {
		all = append(all, policy.Name)
	}
	runModel(t, open, all...)
}

func runModel(t *testing.T, open func(t *testing.T) Harness, policies ...string) {
	rapid.Check(t, func(rt *rapid.T) {
		h := open(t)
		defer h.Store.Close()
		c := &comparison{Harness: h, policies: rapid.SampledFrom(policies)}
		c.start(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":       func(rt *rapid.T) { c.check(rt) },
			"write":  c.write,
			"batch":  c.batch,
			"fetch":  c.fetch,
			"read":   c.read,
			"limits": c.setLimits,
			"time":   c.advance,
		})
	})
}

// comparison is a store and the model that it should equal.
type comparison struct {
	Harness
	model    model
	policies *rapid.Generator[string]
	// versions are all versions so far, for conditions.
	versions []store.Version
}

var (
	someKeys = rapid.SampledFrom([]string{"a", "b", "c/d", "e f", "100%", "🔑", "0000000000000001"})
	someData = rapid.OneOf(
		rapid.SampledFrom([][]byte{nil, []byte("x"), []byte("xy")}),
		rapid.SliceOfN(rapid.Byte(), 0, 12),
	)
	someKinds = rapid.SampledFrom([]store.Kind{store.Raw, store.String, store.JSON})
	someTypes = rapid.SampledFrom([]string{"", "text/plain", `a/b; c="d e"`})
	someOps   = rapid.SampledFrom([]store.Op{store.Create, store.Put, store.Delete, store.Restore})
)

func (c *comparison) start(t *rapid.T) {
	l := c.someLimits(t)
	c.model.limits = l
	c.model.policy, _ = store.PolicyByName(l.Eviction)
	// The write numbers of a store may begin anywhere.
	c.model.number = c.apply(t, store.Batch{Limits: l}).Number
}

func (c *comparison) someLimits(t *rapid.T) store.Limits {
	l := store.Limits{MaxKeys: rapid.IntRange(1, 5).Draw(t, "max_keys"), Eviction: c.policies.Draw(t, "eviction")}
	if rapid.Bool().Draw(t, "limit bytes") {
		l.MaxBytes = rapid.Int64Range(1, 40).Draw(t, "max_bytes")
	}
	return l
}

func (c *comparison) someWrite(t *rapid.T) store.Write {
	w := store.Write{Op: someOps.Draw(t, "op"), Key: someKeys.Draw(t, "key")}
	if w.Op != store.Delete {
		w.Value = store.Value{Data: someData.Draw(t, "data"), Kind: someKinds.Draw(t, "kind")}
		if w.Value.Kind == store.Raw {
			w.Value.ContentType = someTypes.Draw(t, "type")
		}
	}
	if w.Op != store.Delete && rapid.IntRange(0, 2).Draw(t, "expires") == 0 {
		w.TTL = time.Duration(rapid.IntRange(1, 4).Draw(t, "ttl")) * time.Hour
	}
	if w.Op == store.Restore {
		if w.TTL > 0 && rapid.Bool().Draw(t, "expired") {
			w.TTL = -w.TTL
		}
		w.Score = float64(rapid.IntRange(-3, 3).Draw(t, "score"))
	}
	if rapid.IntRange(0, 2).Draw(t, "conditions") == 0 {
		w.IfMatch = c.someVersions(t, w.Key, "if-match")
		w.IfNoneMatch = c.someVersions(t, w.Key, "if-none-match")
	}
	return w
}

// someVersions often has the present version of key.
func (c *comparison) someVersions(t *rapid.T, key, label string) store.VersionSet {
	var set []string
	if len(c.versions) > 0 {
		for _, v := range rapid.SliceOfN(rapid.SampledFrom(c.versions), 0, 2).Draw(t, label+" old") {
			set = append(set, v.String())
		}
	}
	for _, r := range c.model.rows {
		if r.Key == key && rapid.Bool().Draw(t, label+" current") {
			set = append(set, r.Entry.Version.String())
		}
	}
	return rapid.SampledFrom([]store.VersionSet{"", store.AnyVersion, store.NewVersionSet(set...)}).Draw(t, label)
}

func (c *comparison) write(t *rapid.T) {
	c.run(t, []store.Write{c.someWrite(t)})
}

func (c *comparison) batch(t *rapid.T) {
	c.run(t, rapid.SliceOfN(rapid.Custom(c.someWrite), 0, 12).Draw(t, "writes"))
}

func (c *comparison) run(t rapid.TB, writes []store.Write) {
	sent := slices.Clone(writes)
	now := c.Now()
	for i := range sent {
		if w := &sent[i]; w.Op == store.Restore && w.TTL != 0 {
			w.Expires, w.TTL = now.Add(w.TTL), 0
		}
	}
	a := c.apply(t, store.Batch{Writes: sent, Limits: c.model.limits})
	if len(a.Results) != len(writes) {
		t.Fatalf("%d answers to %d writes", len(a.Results), len(writes))
	}
	// The model cannot know the tag.
	var tag uint32
	for _, res := range a.Results {
		if res.Outcome <= store.Deleted {
			tag = res.Version.Tag
			c.versions = append(c.versions, res.Version)
		}
	}
	for i, want := range c.model.batch(writes, tag) {
		if w := writes[i]; a.Results[i] != want {
			t.Fatalf("write %d, %c %q: %+v, want %+v", i, w.Op, w.Key, a.Results[i], want)
		}
	}
	c.compare(t, a)
}

func (c *comparison) setLimits(t *rapid.T) {
	l := c.someLimits(t)
	c.model.setLimits(l)
	c.compare(t, c.apply(t, store.Batch{Limits: l, SetLimits: true}))
}

func (c *comparison) fetch(t *rapid.T) {
	var uses []store.Use
	for _, key := range rapid.SliceOfNDistinct(someKeys, 0, 2, rapid.ID).Draw(t, "used") {
		uses = append(uses, store.Use{Key: key, Count: rapid.IntRange(1, 9).Draw(t, "uses")})
	}
	c.fetchKeys(t, rapid.SliceOfNDistinct(someKeys, 0, 4, rapid.ID).Draw(t, "keys"), uses...)
}

// read does the most frequent work of a cache: it fetches a key, and creates it if it is
// absent.
func (c *comparison) read(t *rapid.T) {
	for _, key := range rapid.SliceOfN(someKeys, 1, 20).Draw(t, "keys") {
		c.fetchKeys(t, []string{key})
		c.run(t, []store.Write{{Op: store.Create, Key: key, Value: text("")}})
	}
}

func (c *comparison) fetchKeys(t rapid.TB, keys []string, uses ...store.Use) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := c.Store.Fetch(ctx, keys, store.AnyRoom, uses...)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Entries) != len(keys) || got.Number != c.model.number || got.LostRaises != 0 {
		t.Fatalf("%d entries for %d keys, number %d, want %d, %d lost raises",
			len(got.Entries), len(keys), got.Number, c.model.number, got.LostRaises)
	}
	entries, lives := c.model.fetch(keys, uses)
	for i, want := range entries {
		e := got.Entries[i]
		if got.Expires != nil || lives[i] != 0 {
			wantLife(t, keys[i], got, i, lives[i])
		}
		switch {
		case e == nil && want == nil:
		case e == nil || want == nil:
			t.Fatalf("%q: got %v, want %v", keys[i], e, want)
		case e.Version != want.Version || differ(e.Value, want.Value) != nil:
			t.Fatalf("%q: got %s %s, want %s %s", keys[i], e.Version, describe(e.Value), want.Version, describe(want.Value))
		}
	}
}

// advance lets time pass.
func (c *comparison) advance(t *rapid.T) {
	d := time.Duration(rapid.IntRange(1, 4).Draw(t, "hours")) * time.Hour
	c.Advance(d)
	c.model.now += d
}

// wantLife checks how long a fetched entry lives; 0 is for ever.
func wantLife(t rapid.TB, key string, got store.Fetched, i int, want time.Duration) {
	var expires time.Time
	if got.Expires != nil {
		expires = got.Expires[i]
	}
	if want == 0 && expires.IsZero() {
		return
	}
	if life := time.Until(expires); life > want || life < want-30*time.Minute {
		t.Fatalf("%q lives for %v, want %v", key, life, want)
	}
}

func (c *comparison) apply(t rapid.TB, b store.Batch) store.Applied {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := c.Store.Apply(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// compare checks the facts about the whole store in an answer.
func (c *comparison) compare(t rapid.TB, a store.Applied) {
	m := &c.model
	if !slices.Equal(a.Evicted, m.evicted) {
		t.Fatalf("evicted %q, want %q", a.Evicted, m.evicted)
	}
	if !slices.Equal(slices.Sorted(slices.Values(a.Expired)), slices.Sorted(slices.Values(m.expired))) || a.Expiring != m.expiring() || a.Due {
		t.Fatalf("expired %q, %d expire, due %v; want %q, %d expire", a.Expired, a.Expiring, a.Due, m.expired, m.expiring())
	}
	if a.EvictedUnread != m.unread {
		t.Fatalf("by their scores, %d of the evicted %q were never fetched, want %d (see Scale.Unread in engine/store/scale.go)",
			a.EvictedUnread, a.Evicted, m.unread)
	}
	if a.Number != m.number || a.Limits != m.limits || a.Keys != len(m.rows) || a.Bytes != m.bytes() || a.Over != m.over() || a.Converting != (len(m.state.Former) > 0) {
		t.Fatalf("number %d, %+v, %d keys, %d bytes, over %v, converting %v; want number %d, %+v, %d keys, %d bytes, over %v, former %v",
			a.Number, a.Limits, a.Keys, a.Bytes, a.Over, a.Converting, m.number, m.limits, len(m.rows), m.bytes(), m.over(), m.state.Former)
	}
}

// check compares the stored entries and the state of the policy after a step.
func (c *comparison) check(t rapid.TB) {
	rows, err := c.Inspect()
	if err != nil {
		t.Fatalf("the store is at odds with itself: %v", err)
	}
	kept, err := c.Kept()
	if err != nil {
		t.Fatal(err)
	}
	m := &c.model
	if !reflect.DeepEqual(kept.State, m.state) || !maps.Equal(kept.Ghosts, m.ghosts) || !maps.Equal(kept.Shadow, m.shadow) {
		t.Fatalf("beside the scores stands\n%+v, want\n%+v %v %v", kept, m.state, m.ghosts, m.shadow)
	}
	if len(rows) > c.model.limits.MaxKeys {
		t.Fatalf("%d keys at a capacity of %d", len(rows), c.model.limits.MaxKeys)
	}
	for i := range max(len(rows), len(c.model.rows)) {
		if i < len(rows) && i < len(c.model.rows) && rows[i].equals(c.model.rows[i].Ranked) && rows[i].Expires.IsZero() == (c.model.rows[i].expires == 0) {
			continue
		}
		got, want := "nothing", "nothing"
		if i < len(rows) {
			got = rows[i].String()
		}
		if i < len(c.model.rows) {
			want = c.model.rows[i].String()
		}
		t.Fatalf("place %d of the eviction order has\n%s, want\n%s", i, got, want)
	}
}
