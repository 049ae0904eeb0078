package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// batchAnswer is the answer to a batch read.
type batchAnswer struct {
	Entries []struct {
		Key    string
		Value  string
		Base64 []byte
	}
	Absent, Omitted []string
	Hint            string
}

// keys returns the keys of the entries.
func (a *batchAnswer) keys() string {
	var keys []string
	for _, e := range a.Entries {
		keys = append(keys, e.Key)
	}
	return strings.Join(keys, " ")
}

func batch(t *testing.T, s *sitetest.Site, keys ...string) (a batchAnswer) {
	t.Helper()
	response, err := http.Get("http://" + s.Addr + "/cache?" + url.Values{"key": keys}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// fill creates entries k0, k1 and so on, with values of so many bytes.
func fill(t *testing.T, h *redisproxy.Handler, n, size int) (keys []string) {
	t.Helper()
	for i := range n {
		key := fmt.Sprint("k", i)
		v := store.Value{Data: []byte(strings.Repeat("v", size)), Kind: store.String}
		if _, err := sitetest.CacheOf(t, h).Engine.Write(t.Context(), store.Write{Op: store.Create, Key: key, Value: v}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func rankOf(t *testing.T, h *redisproxy.Handler, key string) float64 {
	t.Helper()
	listed, err := sitetest.CacheOf(t, h).Engine.Look(t.Context(), key)
	if err != nil || listed == nil {
		t.Fatalf("%s: %v, %v", key, listed, err)
	}
	return listed.Rank
}

func TestABatchReadOmitsValuesWithoutRoomAndNamesThem(t *testing.T) {
	for name, setting := range map[string]string{"from the store": "local_ttl 0", "from the local tier": "local_ttl 1h"} {
		t.Run(name, func(t *testing.T) {
			h := sitetest.Handler(t, "max_answer_bytes 35\n"+setting)
			s := sitetest.Serve(t, h)
			fill(t, h, 5, 10)
			large := store.Value{Data: []byte(strings.Repeat("V", 100)), Kind: store.String}
			if _, err := sitetest.CacheOf(t, h).Engine.Write(t.Context(), store.Write{Op: store.Create, Key: "large", Value: large}); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct {
				keys                     []string
				entries, absent, omitted string
			}{
				{[]string{"k0", "none", "k1", "k2", "k3", "k4"}, "k0 k1 k2", "none", "k3 k4"},
				{[]string{"k3", "k4"}, "k3 k4", "", ""},
				{[]string{"none", "large", "none2", "k0"}, "large", "none none2", "k0"},
				{[]string{"k0", "large", "k1"}, "k0", "", "large k1"},
				{[]string{"k0", "k0", "k0", "k0", "k0"}, "k0", "", ""},
			} {
				// The second read is local if the local tier is on.
				for range 2 {
					a := batch(t, s, tt.keys...)
					if a.keys() != tt.entries || strings.Join(a.Absent, " ") != tt.absent || strings.Join(a.Omitted, " ") != tt.omitted || (a.Hint != "") != (tt.omitted != "") {
						t.Errorf("%v: %+v", tt.keys, a)
					}
				}
			}
		})
	}
}

func TestAKeyThatABatchReadOmitsCountsNoUse(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		t.Run(method, func(t *testing.T) {
			h := sitetest.Handler(t, "max_answer_bytes 35\nlocal_ttl 0")
			s := sitetest.Serve(t, h)
			keys := fill(t, h, 5, 10)
			got := s.Send(method + " /cache?" + url.Values{"key": slices.Concat(keys, keys)}.Encode())
			if !strings.HasPrefix(got, "200 OK\n") || method == http.MethodHead && strings.Contains(got, "Content-Length") {
				t.Error(got)
			}
			for i, key := range keys {
				want := 0.0
				if i < 3 {
					want = 1
				}
				if rank := rankOf(t, h, key); rank != want {
					t.Errorf("rank of %s is %v, want %v", key, rank, want)
				}
			}
		})
	}
}

// TestALargeBatchIsReadInParts asks for the omitted keys until none is omitted.
func TestALargeBatchIsReadInParts(t *testing.T) {
	server := redistest.Start(t)
	h := sitetest.Handler(t, "redis_timeout 1m\nmax_queue_bytes 256MiB\nstore "+server.URL())
	s := sitetest.Serve(t, h)
	keys := fill(t, h, 20, 1<<20)
	rest, read := keys, ""
	for parts := 0; len(rest) > 0; parts++ {
		a := batch(t, s, rest...)
		if len(a.Entries) == 0 || len(a.Entries) > 8 || parts > 2 {
			t.Fatalf("part %d: %d entries", parts, len(a.Entries))
		}
		for _, e := range a.Entries {
			if len(e.Value) != 1<<20 {
				t.Errorf("%s has %d bytes", e.Key, len(e.Value))
			}
		}
		read += " " + a.keys()
		rest = a.Omitted
	}
	if read != " "+strings.Join(keys, " ") {
		t.Errorf("read%s", read)
	}
}

// TestAnAnswerThatCannotBeFinishedIsNoWholeAnswer takes away all rights in Redis while a
// client reads an answer that is larger than the buffers of a connection. Redis then
// refuses at once. For a Redis that is gone, the test would have to wait for
// redis_timeout.
func TestAnAnswerThatCannotBeFinishedIsNoWholeAnswer(t *testing.T) {
	server := redistest.Start(t)
	h := sitetest.Handler(t, "max_answer_bytes 1GiB\nmax_queue_bytes 256MiB\nlocal_ttl 0\nredis_timeout 2m\nstore "+server.URL())
	s := sitetest.Serve(t, h)
	keys := fill(t, h, 60, 1<<20)
	response, err := http.Get("http://" + s.Addr + "/cache?" + url.Values{"key": keys}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-@all").Err(); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, response.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, then %v", n, err)
	}
}
