package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/memstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// listed returns the answer to a listing or a deletion by prefix.
func listed(body string) string {
	return fmt.Sprintf("200 OK\nCache-Control: no-cache\nContent-Length: %d\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n\n%s", len(body), body)
}

func TestKeysAreListedAndDeletedByPrefix(t *testing.T) {
	s := sitetest.New(t, "listing\nmethods GET HEAD POST DELETE")
	run(t, s, []step{
		{"none", "GET /cache?prefix=a/", listed(`{"keys":[]}`)},
		{"a key", "POST /cache/a/%22quoted%22\n\nx", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/a/%22quoted%22\n\n"},
		{"another", "POST /cache/b/1\n\nx", "201 Created\nContent-Length: 0\nEtag: \"<etag>\"\nLocation: /cache/b/1\n\n"},
		{"of a prefix", "GET /cache?prefix=a/", listed(`{"keys":["a/\"quoted\""]}`)},
		{"a wildcard is literal", "GET /cache?prefix=*", listed(`{"keys":[]}`)},
		{"all", "GET /cache", listed(`{"keys":["a/\"quoted\"","b/1"]}`)},
		{"HEAD", "HEAD /cache?prefix=a/", strings.TrimSuffix(listed(`{"keys":["a/\"quoted\""]}`), `{"keys":["a/\"quoted\""]}`)},
		{"deleting", "DELETE /cache?prefix=a/", listed(`{"deleted":1}`)},
		{"again", "DELETE /cache?prefix=a/", listed(`{"deleted":0}`)},
		{"the other is still there", "GET /cache?prefix=", listed(`{"keys":["b/1"]}`)},
		{"all of them", "DELETE /cache?prefix=", listed(`{"deleted":1}`)},
		{"a method", "OPTIONS /cache", "204 No Content\nAllow: GET, HEAD, POST, DELETE, OPTIONS\n\n"},
	})
}

func TestWrongListingsSayWhatToDo(t *testing.T) {
	s := sitetest.New(t, "listing\nmethods GET POST DELETE\nmax_key_size 10")
	const (
		range1000 = "; write a number of keys from 1 to 1000"
		cursor    = "the cursor is not one of this listing; send the cursor of the page before, with the same prefix, or begin again without cursor"
		whole     = " is for one entry, and this request deletes many; send it without, or delete the entries one by one"
	)
	for _, c := range []struct {
		request, detail string
	}{
		{"GET /cache?limit=0", `limit is "0"` + range1000},
		{"GET /cache?limit=1001", `limit is "1001"` + range1000},
		{"GET /cache?limit=", `limit is ""` + range1000},
		{"GET /cache?limit=ten", `limit is "ten"` + range1000},
		{"GET /cache?limit=1&limit=1", "the query has prefix, limit or cursor twice; send each once"},
		{"GET /cache?prefix=%ff", "no key begins with this prefix: it is not valid UTF-8, or has a control character"},
		{"GET /cache?prefix=a%00", "no key begins with this prefix: it is not valid UTF-8, or has a control character"},
		{"GET /cache?prefix=12345678901", "no key begins with this prefix: it is longer than max_key_size, 10 bytes"},
		{"GET /cache?prefix=a&key=a", "the query has key, for a batch read, and prefix, limit or cursor, for a listing; send one of them"},
		{"GET /cache?cursor=", cursor},
		{"GET /cache?cursor=0", cursor},
		{"GET /cache?cursor=%C3%A9", cursor},
		{"GET /cache?cursor=AAAAAAAAAAAAAAAAAAAA", cursor},
		{"DELETE /cache", "say what to delete: prefix=… for the keys that begin with it, prefix= for all keys, or a key in the path"},
		{"DELETE /cache?limit=1&prefix=a", "DELETE takes no key, limit or cursor beside prefix; it deletes all keys with the prefix, or the one in the path"},
		{"DELETE /cache?prefix=a&prefix=b", "the query has prefix, limit or cursor twice; send each once"},
		{"DELETE /cache?prefix=a\nIf-Match: *", "If-Match" + whole},
	} {
		if got, want := s.Send(c.request), sitetest.Problem(400, c.detail); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.request, got, want)
		}
	}
	if got := s.Send("DELETE /cache?prefix=a\nOrigin: https://other.test"); !strings.HasPrefix(got, "403 ") {
		t.Error(got)
	}
}

func TestWithoutListingItsNameIsInTheAnswer(t *testing.T) {
	s := sitetest.New(t, "methods GET DELETE")
	for _, request := range []string{"GET /cache?prefix=a", "GET /cache?limit=1", "DELETE /cache?prefix=a"} {
		if got := s.Send(request); !strings.HasPrefix(got, "400 ") && !strings.HasPrefix(got, "405 ") || !strings.Contains(got, "`listing`") {
			t.Errorf("%s: %s", request, got)
		}
	}
}

// page is the JSON of a page of keys.
type page struct {
	Keys   []string
	Cursor string
}

// pageOf sends a listing, and returns its status and page.
func pageOf(t *testing.T, s *sitetest.Site, host, query string) (status string, p page) {
	t.Helper()
	answer := s.Send("GET /cache?" + query + "\nHost: " + host)
	_, body, _ := strings.Cut(answer, "\n\n")
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return answer[:3], p
}

// keysOf reads all pages of a listing, and returns the keys sorted and each once.
func keysOf(t *testing.T, s *sitetest.Site, host, query string, limit int) []string {
	t.Helper()
	var all []string
	query += "&limit=" + strconv.Itoa(limit)
	for cursor := ""; ; {
		status, p := pageOf(t, s, host, query+cursor)
		if status != "200" || len(p.Keys) > limit {
			t.Fatalf("%s, %d keys of %d", status, len(p.Keys), limit)
		}
		all = append(all, p.Keys...)
		if p.Cursor == "" {
			slices.Sort(all)
			return slices.Compact(all)
		}
		cursor = "&cursor=" + url.QueryEscape(p.Cursor)
	}
}

func filled(t *testing.T, e *engine.Engine, prefix string, n int) (keys []string) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("%s%06d", prefix, i)
		if _, err := e.Write(t.Context(), store.Write{Op: store.Create, Key: key, Value: store.Value{Data: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestTenantsListTheirOwnKeys(t *testing.T) {
	for name, url := range map[string]string{"embedded": "embedded", "redis": redistest.Start(t).URL()} {
		t.Run(name, func(t *testing.T) {
			h := sitetest.Handler(t, "store "+url+"\nlisting\nmethods GET DELETE\nkey_prefix {http.request.host}/")
			s := sitetest.Serve(t, h)
			e := sitetest.CacheOf(t, h).Engine
			ofA := filled(t, e, "a.test/k/", 700)
			filled(t, e, "a.test/l/", 10)
			ofB := filled(t, e, "b.test/k/", 700)
			for i := range ofA {
				ofA[i], ofB[i] = strings.TrimPrefix(ofA[i], "a.test/"), strings.TrimPrefix(ofB[i], "b.test/")
			}
			for _, limit := range []int{7, 100, 1000} {
				if got := keysOf(t, s, "a.test", "prefix=k/", limit); !slices.Equal(got, ofA) {
					t.Errorf("%d keys of a, %d at once", len(got), limit)
				}
			}
			if got := keysOf(t, s, "b.test", "prefix=", 1000); !slices.Equal(got, ofB) {
				t.Errorf("%d keys of b", len(got))
			}
			_, p := pageOf(t, s, "a.test", "prefix=k/&limit=10")
			if p.Cursor == "" {
				t.Fatal("one page of 10 has them all")
			}
			cursor := "&cursor=" + p.Cursor
			for _, other := range []struct{ host, query string }{{"b.test", "prefix=k/" + cursor}, {"a.test", "prefix=k" + cursor}, {"a.test", cursor}} {
				if status, _ := pageOf(t, s, other.host, other.query); status != "400" {
					t.Errorf("%s?%s: %s", other.host, other.query, status)
				}
			}
			if got := s.Send("DELETE /cache?prefix=\nHost: a.test"); !sitetest.HasBody(got, `{"deleted":710}`) {
				t.Error(got)
			}
			if got := keysOf(t, s, "b.test", "prefix=k", 1000); !slices.Equal(got, ofB) {
				t.Errorf("%d keys of b are left", len(got))
			}
			if n := sitetest.CacheOf(t, h).Stats().Engine.DeletedByPrefix; n != 710 {
				t.Errorf("%d are counted", n)
			}
		})
	}
}

func TestACursorOfAnotherServerSaysToBeginAgain(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	h := sitetest.Handler(t, "store "+redis.URL()+"\nlisting")
	s := sitetest.Serve(t, h)
	keys := filled(t, sitetest.CacheOf(t, h).Engine, "k", 300)
	_, p := pageOf(t, s, "a.test", "limit=100")
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	const detail = "the cursor is of another server of the store: it was started again, or another one has taken over; begin the listing again, without cursor"
	if got := s.Send("GET /cache?limit=100&cursor=" + p.Cursor); got != sitetest.Problem(400, detail) {
		t.Error(got)
	}
	if got := keysOf(t, s, "a.test", "", 100); !slices.Equal(got, keys) {
		t.Errorf("%d keys", len(got))
	}
}

// weak is a store that fails once it applied so many writes.
type weak struct {
	*memstore.Store
	left  atomic.Int64
	leave context.CancelFunc // if set, the client leaves in place of the store's failing
}

func (w *weak) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	if w.left.Add(-int64(len(b.Writes))) < 0 {
		if w.leave == nil {
			return store.Applied{}, store.ErrUnavailable
		}
		w.leave()
	}
	return w.Store.Apply(ctx, b)
}

// deletion sends a deletion of all keys to a store with 2000 that fails on the way.
func deletion(t *testing.T, leaves bool) (answer *httptest.ResponseRecorder, left int, err error) {
	t.Helper()
	limits := store.Limits{MaxKeys: 5000, Eviction: "rank"}
	st := &weak{Store: memstore.New()}
	st.left.Store(1 << 40)
	e := engine.New(st, engine.Settings{Limits: limits, Timeout: sitetest.Patience, MaxQueueJobs: 1000, MaxQueueBytes: 1 << 20, LocalMaxBytes: 1}, engine.Options{})
	defer e.Close()
	filled(t, e, "k", 2000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if leaves {
		st.leave = cancel
	}
	st.left.Store(1000)
	methods, _ := httpapi.ParseMethods([]string{"DELETE"})
	server := httpapi.New(httpapi.Config{
		PathPrefix: "/cache", Methods: methods, Listing: true, MaxKeySize: 512, MaxAnswerBytes: 1 << 20,
		CrossOrigin: http.NewCrossOriginProtection(), Logger: zap.NewNop(), Cache: &running.Cache{Engine: e, Requests: running.NewRequestCounters()},
	})
	answer = httptest.NewRecorder()
	err = server.Serve(answer, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/cache?prefix=", nil), "", keypath.Collection)
	size, sizeErr := e.Size(t.Context())
	if sizeErr != nil {
		t.Fatal(sizeErr)
	}
	return answer, size.Keys, err
}

func TestADeletionThatFailsSaysHowManyAreGone(t *testing.T) {
	answer, left, err := deletion(t, false)
	if err != nil {
		t.Fatal(err)
	}
	var problem struct {
		Detail  string
		Deleted int
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil {
		t.Fatal(err)
	}
	if answer.Code != 503 || problem.Deleted == 0 || problem.Deleted != 2000-left || !strings.Contains(problem.Detail, fmt.Sprint(problem.Deleted, " entries were deleted")) {
		t.Errorf("%d %s, %d are left", answer.Code, answer.Body, left)
	}
}

func TestADeletionEndsWhenTheClientLeaves(t *testing.T) {
	answer, left, err := deletion(t, true)
	if answer.Body.Len() > 0 || err == nil || left < 500 {
		t.Errorf("%s, %v, %d are left", answer.Body, err, left)
	}
}
