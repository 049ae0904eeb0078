package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/caddytest/apiclient"
)

// called is a call of a generated client.
type called[R interface{ StatusCode() int }] struct {
	answer R
	err    error
}

func call[R interface{ StatusCode() int }](answer R, err error) called[R] {
	return called[R]{answer, err}
}

// got returns the answer, which must have the status.
func (c called[R]) got(t *testing.T, status int) R {
	t.Helper()
	if c.err != nil {
		t.Fatal(c.err)
	}
	if c.answer.StatusCode() != status {
		t.Fatalf("got %d, want %d: %+v", c.answer.StatusCode(), status, c.answer)
	}
	return c.answer
}

// generated has clients that oapi-codegen has written, one of each API. Each answer is
// checked against docs/openapi.yaml.
type generated struct {
	described     *described
	public, admin *apiclient.ClientWithResponses
}

func newGenerated(t *testing.T, s *server) *generated {
	t.Helper()
	g := &generated{described: newDescribed(t, s)}
	client := func(at string) *apiclient.ClientWithResponses {
		c, err := apiclient.NewClientWithResponses("http://"+at, apiclient.WithHTTPClient(&http.Client{Transport: g.described, Timeout: patience}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	g.public, g.admin = client(s.http), client(s.admin)
	return g
}

// uncalled lists the operations that no request had.
func (g *generated) uncalled() (all []string) {
	for path, item := range g.described.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			isCalled := false
			for seen := range g.described.seen {
				isCalled = isCalled || strings.HasPrefix(seen, method+" "+path+" ")
			}
			if !isCalled {
				all = append(all, operation.OperationID)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestAGeneratedClientCallsEveryOperation uses the client in apiclient for each operation in
// docs/openapi.yaml.
func TestAGeneratedClientCallsEveryOperation(t *testing.T) {
	s := startAdmin(t, "redis_proxy_health\nredis_proxy {\nmethods GET HEAD POST PUT DELETE\nlisting\nwatch 2\n}")
	g := newGenerated(t, s)
	t.Run("an entry", func(t *testing.T) { g.entry(t) })
	t.Run("many entries", func(t *testing.T) { g.entries(t) })
	t.Run("a watch", func(t *testing.T) { watchWithAGeneratedClient(t, s) })
	t.Run("a running cache", func(t *testing.T) { g.cache(t) })
	t.Run("health and dashboard", func(t *testing.T) { g.health(t) })
	t.Run("heads and methods", func(t *testing.T) { g.headsAndMethods(t) })
	if all := g.uncalled(); len(all) > 0 {
		t.Errorf("no call has the operations %v", all)
	}
}

func (g *generated) entry(t *testing.T) {
	ctx, public := t.Context(), g.public
	var ttl apiclient.TTL
	if err := ttl.FromSeconds(3600); err != nil {
		t.Fatal(err)
	}
	var value apiclient.ValueOrRaw
	if err := value.FromEntryValue(apiclient.EntryValue{Value: json.RawMessage(`{"n":7}`), TTL: &ttl}); err != nil {
		t.Fatal(err)
	}

	created := call(public.CreateEntryWithResponse(ctx, "a/b", nil, value)).got(t, 201)
	if created.Headers201.ETag == "" || created.Headers201.Location == nil || *created.Headers201.Location != "/cache/a%2Fb" {
		t.Errorf("%+v", created.Headers201)
	}
	conflict := call(public.CreateEntryWithResponse(ctx, "a/b", nil, value)).got(t, 409)
	if p := conflict.ApplicationProblemJSON409; p.Status != 409 || !p.SameValue || p.Detail == "" || conflict.Headers409.ETag == nil || *conflict.Headers409.ETag != created.Headers201.ETag {
		t.Errorf("%+v", p)
	}
	read := call(public.GetEntryWithResponse(ctx, "a/b", nil)).got(t, 200)
	entry, err := read.JSON200.AsEntry()
	if err != nil || entry.Key != "a/b" || string(entry.Value) != `{"n":7}` {
		t.Errorf("%+v, %v", entry, err)
	}
	if h := read.Headers200; h.ETag == nil || *h.ETag != created.Headers201.ETag || !strings.Contains(h.CacheStatus, "stored") || h.Expires == nil {
		t.Errorf("%+v", h)
	}

	// A replacement under a condition, which then does not hold any more.
	form := apiclient.EntryForm{Value: "replaced"}
	params := &apiclient.PutEntryParams{IfMatch: read.Headers200.ETag}
	replaced := call(public.PutEntryWithFormdataBodyWithResponse(ctx, "a/b", params, form)).got(t, 200)
	refused := call(public.PutEntryWithFormdataBodyWithResponse(ctx, "a/b", params, form)).got(t, 412)
	now := replaced.Headers200.ETag
	if now == *read.Headers200.ETag || refused.ApplicationProblemJSON412.Status != 412 || refused.Headers412.ETag == nil || *refused.Headers412.ETag != now {
		t.Errorf("%+v, %+v, %+v", replaced.Headers200, refused.ApplicationProblemJSON412, refused.Headers412)
	}
	same := call(public.GetEntryWithResponse(ctx, "a/b", &apiclient.GetEntryParams{IfNoneMatch: &now})).got(t, 304)
	if h := same.Headers304; h.ETag == nil || *h.ETag != now || !strings.Contains(h.CacheStatus, "hit") && !strings.Contains(h.CacheStatus, "fwd") {
		t.Errorf("%+v", h)
	}
	if h := call(public.DeleteEntryWithResponse(ctx, "a/b", &apiclient.DeleteEntryParams{IfNoneMatch: &now})).got(t, 412).Headers412; h.ETag == nil || *h.ETag != now {
		t.Errorf("%+v", h)
	}

	// Bytes go in through a reader and come out through one.
	svg := []byte("<svg/>\x00\xff")
	call(public.PutEntryWithBodyWithResponse(ctx, "logo", nil, "image/svg+xml", bytes.NewReader(svg))).got(t, 201)
	resp, err := public.GetEntry(ctx, "logo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if stored, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(stored, svg) || resp.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("%q, %v, %v", stored, resp.Header, err)
	}

	// A part of the bytes, if the value is still that of the first part.
	raw, first, tag := "", "bytes=0-3", resp.Header.Get("Etag")
	part := call(public.GetEntryWithResponse(ctx, "logo", &apiclient.GetEntryParams{Raw: &raw, Range: &first, IfRange: &tag})).got(t, 206)
	if h := part.Headers206; string(part.Body) != "<svg" || h.ETag == nil || *h.ETag != tag || h.ContentRange == nil || *h.ContentRange != "bytes 0-3/8" || h.ContentSecurityPolicy == nil {
		t.Errorf("%q, %+v", part.Body, h)
	}
	other := `"1f00000abc"`
	if whole := call(public.GetEntryWithResponse(ctx, "logo", &apiclient.GetEntryParams{Raw: &raw, Range: &first, IfRange: &other})).got(t, 200); !bytes.Equal(whole.Body, svg) {
		t.Errorf("%q", whole.Body)
	}

	if p := call(public.DeleteEntryWithResponse(ctx, "none", nil)).got(t, 404).ApplicationProblemJSON404; p.Title != "Not Found" {
		t.Errorf("%+v", p)
	}
	call(public.DeleteEntryWithResponse(ctx, "a/b", nil)).got(t, 204)
	call(public.GetEntryWithResponse(ctx, "a/b", nil)).got(t, 404)
}

func (g *generated) entries(t *testing.T) {
	ctx, public := t.Context(), g.public
	call(public.PostEntriesWithResponse(ctx, nil, apiclient.NewEntry{Key: "k1", Value: json.RawMessage("null")})).got(t, 201)

	// A bulk request is a stream of lines.
	body, lines := io.Pipe()
	go func() {
		to := json.NewEncoder(lines)
		op := apiclient.BulkLineOpGet
		_ = to.Encode(apiclient.BulkLine{Key: "k2", Base64: []byte{0, 1}})
		_ = to.Encode(apiclient.BulkLine{Key: "k1", Value: json.RawMessage("1")})
		_ = to.Encode(apiclient.BulkLine{Key: "k1", Op: &op})
		lines.Close()
	}()
	resp, err := public.PostEntriesWithBody(ctx, nil, "application/x-ndjson", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answers apiclient.BulkAnswers
	for from := json.NewDecoder(resp.Body); from.More(); {
		var line apiclient.BulkAnswer
		if err := from.Decode(&line); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, line)
	}
	if len(answers) != 3 || answers[0].Status != 201 || answers[1].Status != 409 || *answers[1].SameValue || answers[2].Status != 200 || string(answers[2].Value) != "null" {
		t.Fatalf("%+v", answers)
	}

	got := call(public.GetEntriesWithResponse(ctx, &apiclient.GetEntriesParams{Key: []string{"k2", "k1", "none"}})).got(t, 200)
	batch, err := got.JSON200.AsBatch()
	if err != nil || len(batch.Entries) != 2 || !bytes.Equal(batch.Entries[0].Base64, []byte{0, 1}) || string(batch.Entries[1].Value) != "null" || !slices.Equal(batch.Absent, []string{"none"}) {
		t.Errorf("%+v, %v", batch, err)
	}
	prefix := "k"
	got = call(public.GetEntriesWithResponse(ctx, &apiclient.GetEntriesParams{Prefix: &prefix})).got(t, 200)
	page, err := got.JSON200.AsKeyPage()
	slices.Sort(page.Keys)
	if err != nil || !slices.Equal(page.Keys, []string{"k1", "k2"}) || page.Cursor != nil {
		t.Errorf("%+v, %v", page, err)
	}
	deleted := call(public.DeleteEntriesWithResponse(ctx, &apiclient.DeleteEntriesParams{Prefix: prefix})).got(t, 200)
	if deleted.JSON200.Deleted != 2 {
		t.Errorf("%+v", deleted.JSON200)
	}
}

// watchWithAGeneratedClient reads a stream as it comes. So no answer is checked.
func watchWithAGeneratedClient(t *testing.T, s *server) {
	client, err := apiclient.NewClientWithResponses("http://"+s.http, apiclient.WithHTTPClient(s.plain))
	if err != nil {
		t.Fatal(err)
	}
	watch := ""
	resp, err := client.GetEntries(t.Context(), &apiclient.GetEntriesParams{Watch: &watch})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(prefix string) string {
		for lines.Scan() {
			if line, is := strings.CutPrefix(lines.Text(), prefix); is {
				return line
			}
		}
		t.Fatal(lines.Err())
		return ""
	}
	id := next("id: ")
	call(client.PostEntriesWithResponse(t.Context(), nil, apiclient.NewEntry{Key: "seen", Value: json.RawMessage("1")})).got(t, 201)
	if event, data := next("event: "), next("data: "); event != "created" || !strings.Contains(data, `"key":"seen"`) {
		t.Error(event, data)
	}
	// A client that comes back hears of what came since.
	again, err := client.GetEntries(t.Context(), &apiclient.GetEntriesParams{Watch: &watch, LastEventID: &id})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	lines = bufio.NewScanner(again.Body)
	if event, data := next("event: "), next("data: "); event != "created" || !strings.Contains(data, `"key":"seen"`) {
		t.Error("again:", event, data)
	}
}

func (g *generated) cache(t *testing.T) {
	ctx, admin := t.Context(), g.admin
	var value apiclient.ValueOrRaw
	if err := value.FromEntryValue(apiclient.EntryValue{Value: json.RawMessage("9007199254740993")}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"b/1", "b/2", "c"} {
		call(g.public.CreateEntryWithResponse(ctx, key, nil, value)).got(t, 201)
		call(g.public.GetEntryWithResponse(ctx, key, nil)).got(t, 200)
	}

	caches := call(admin.ListCachesWithResponse(ctx)).got(t, 200).JSON200.Caches
	if len(caches) != 1 {
		t.Fatalf("%+v", caches)
	}
	id := caches[0].ID
	cache := call(admin.GetCacheWithResponse(ctx, id)).got(t, 200).JSON200
	if cache.Namespace != "cache" || cache.Settings.MaxKeys != 10000 || !cache.StoreState.Ready || *cache.StoreState.Keys < 3 || cache.Figures.Requests["get"]["store"] < 3 {
		t.Errorf("%+v", cache)
	}
	if e := call(admin.GetCacheWithResponse(ctx, "none")).got(t, 404).JSON404; e.Error == "" {
		t.Errorf("%+v", e)
	}

	limit, order := 1, apiclient.ListKeysParamsOrderValued
	keys := call(admin.ListKeysWithResponse(ctx, id, &apiclient.ListKeysParams{Limit: &limit, Order: &order})).got(t, 200).JSON200
	if len(keys.Keys) != 1 || keys.Keys[0].Key != "c" || keys.Keys[0].Rank != 1 || keys.Keys[0].Type != apiclient.ValueTypeJSON || keys.Cursor == "" {
		t.Errorf("%+v", keys)
	}
	key := call(admin.GetKeyWithResponse(ctx, id, "b/1", nil)).got(t, 200).JSON200
	if string(key.Value) != "9007199254740993" || key.Local == nil || key.Local.TTLSeconds <= 0 {
		t.Errorf("%+v", key)
	}
	call(admin.DropLocalWithResponse(ctx, id, "b/1")).got(t, 204)
	if key := call(admin.GetKeyWithResponse(ctx, id, "b/1", nil)).got(t, 200).JSON200; key.Local != nil {
		t.Errorf("%+v", key)
	}
	call(admin.DropAllLocalWithResponse(ctx, id)).got(t, 204)
	if d := call(admin.DeleteKeyWithResponse(ctx, id, "c")).got(t, 200).JSON200; d.Deleted != 1 {
		t.Errorf("%+v", d)
	}
	prefix := "b/"
	if d := call(admin.DeleteKeysWithResponse(ctx, id, &apiclient.DeleteKeysParams{Prefix: &prefix})).got(t, 200).JSON200; d.Deleted != 2 {
		t.Errorf("%+v", d)
	}
}

func (g *generated) health(t *testing.T) {
	ctx, admin := t.Context(), g.admin
	if live := call(admin.GetLiveWithResponse(ctx)).got(t, 200).JSON200; !live.Live {
		t.Errorf("%+v", live)
	}
	if ready := call(admin.GetReadyWithResponse(ctx)).got(t, 200).JSON200; !ready.Ready || !ready.Writes || len(ready.Caches) != 1 || ready.Caches[0].Cause != apiclient.CauseEmpty {
		t.Errorf("%+v", ready)
	}
	if live := call(g.public.GetSiteLiveWithResponse(ctx)).got(t, 200).JSON200; !live.Live {
		t.Errorf("on the site: %+v", live)
	}
	if serving := call(g.public.GetSiteServingWithResponse(ctx)).got(t, 200).JSON200; !serving.Serving {
		t.Errorf("on the site: %+v", serving)
	}
	if ready := call(g.public.GetSiteReadyWithResponse(ctx)).got(t, 200).JSON200; !ready.Ready || !ready.Writes || ready.Caches != 1 || ready.Cause != apiclient.CauseEmpty || ready.ShuttingDown {
		t.Errorf("on the site: %+v", ready)
	}
	call(g.public.HeadSiteLiveWithResponse(ctx)).got(t, 200)
	call(g.public.HeadSiteServingWithResponse(ctx)).got(t, 200)
	call(g.public.HeadSiteReadyWithResponse(ctx)).got(t, 200)
	if page := call(admin.GetDashboardWithResponse(ctx, nil)).got(t, 200); !strings.Contains(string(page.Body), "<html") {
		t.Errorf("%q", page.Body)
	}
	file := call(admin.GetDashboardFileWithResponse(ctx, "app.js", nil)).got(t, 200)
	if len(file.Body) == 0 || file.Headers200.ETag == "" {
		t.Errorf("%+v", file.Headers200)
	}
	call(admin.GetDashboardFileWithResponse(ctx, "app.js", &apiclient.GetDashboardFileParams{IfNoneMatch: &file.Headers200.ETag})).got(t, 304)
}

func (g *generated) headsAndMethods(t *testing.T) {
	ctx, public, admin := t.Context(), g.public, g.admin
	call(public.PostEntriesWithResponse(ctx, nil, apiclient.NewEntry{Key: "k", Value: json.RawMessage("1")})).got(t, 201)
	id := call(admin.ListCachesWithResponse(ctx)).got(t, 200).JSON200.Caches[0].ID
	const all, key, list, read, drop = "GET, HEAD, POST, PUT, DELETE, OPTIONS", "GET, HEAD, DELETE, OPTIONS", "GET, HEAD, POST, DELETE, OPTIONS", "GET, HEAD, OPTIONS", "DELETE, OPTIONS"

	for name, c := range map[string]struct {
		allow         string
		head, options func() (*http.Response, error)
	}{
		"an entry": {
			all,
			func() (*http.Response, error) { return public.HeadEntry(ctx, "k", nil) },
			func() (*http.Response, error) { return public.OptionsOfEntry(ctx, "k") },
		},
		"entries": {
			list,
			func() (*http.Response, error) {
				return public.HeadEntries(ctx, &apiclient.HeadEntriesParams{Key: []string{"k"}})
			},
			func() (*http.Response, error) { return public.OptionsOfEntries(ctx) },
		},
		"caches": {
			read,
			func() (*http.Response, error) { return admin.HeadCaches(ctx) },
			func() (*http.Response, error) { return admin.OptionsOfCaches(ctx) },
		},
		"a cache": {
			read,
			func() (*http.Response, error) { return admin.HeadCache(ctx, id) },
			func() (*http.Response, error) { return admin.OptionsOfCache(ctx, id) },
		},
		"keys": {
			key,
			func() (*http.Response, error) { return admin.HeadKeys(ctx, id) },
			func() (*http.Response, error) { return admin.OptionsOfKeys(ctx, id) },
		},
		"a key": {
			key,
			func() (*http.Response, error) { return admin.HeadKey(ctx, id, "k") },
			func() (*http.Response, error) { return admin.OptionsOfKey(ctx, id, "k") },
		},
		"local": {
			drop,
			nil,
			func() (*http.Response, error) { return admin.OptionsOfAllLocal(ctx, id) },
		},
		"a local key": {
			drop,
			nil,
			func() (*http.Response, error) { return admin.OptionsOfLocal(ctx, id, "k") },
		},
		"live": {
			read,
			func() (*http.Response, error) { return admin.HeadLive(ctx) },
			func() (*http.Response, error) { return admin.OptionsOfLive(ctx) },
		},
		"ready": {
			read,
			func() (*http.Response, error) { return admin.HeadReady(ctx) },
			func() (*http.Response, error) { return admin.OptionsOfReady(ctx) },
		},
		"the dashboard": {
			read,
			func() (*http.Response, error) { return admin.HeadDashboard(ctx) },
			func() (*http.Response, error) { return admin.OptionsOfDashboard(ctx) },
		},
		"a file of it": {
			read,
			func() (*http.Response, error) { return admin.HeadDashboardFile(ctx, "app.js") },
			func() (*http.Response, error) { return admin.OptionsOfDashboardFile(ctx, "app.js") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			expect := func(status int, ask func() (*http.Response, error)) *http.Response {
				t.Helper()
				resp, err := ask()
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); err != nil || len(body) > 0 || resp.StatusCode != status {
					t.Errorf("%s %s: %s, %q, %v", resp.Request.Method, resp.Request.URL, resp.Status, body, err)
				}
				return resp
			}
			if got := expect(204, c.options).Header.Get("Allow"); got != c.allow {
				t.Errorf("Allow is %q", got)
			}
			if c.head != nil {
				expect(200, c.head)
			}
		})
	}
}
