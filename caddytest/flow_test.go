package integration

import (
	"context"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// TestFlow is the life of an entry, over HTTP/1.1 and HTTP/2 with TLS.
func TestFlow(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	s := start(t, `
	redis_proxy {
		store `+redis.URL()+`
		namespace long
		local_ttl 1h
	}
	redis_proxy /short/* {
		store `+redis.URL()+`
		namespace short
		local_ttl 50ms
	}`)
	at := "https://" + s.https
	for protocol, c := range map[string]*http.Client{"HTTP/1.1": s.http1, "HTTP/2.0": s.http2} {
		t.Run(protocol, func(t *testing.T) {
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			key := "hello-" + protocol[5:6]
			url := at + "/cache/" + key

			unknown := get(t, c, at+"/cache/unknown")
			unknown.expectStatus(t, http.StatusNotFound)
			if unknown.Proto != protocol {
				t.Fatalf("the protocol is %s", unknown.Proto)
			}

			postJSON(t, c, url, `"world"`).expect(t, http.StatusCreated, "")
			if got := client.HGet(t.Context(), "{long}:values", key).Val(); got != "world" {
				t.Errorf("Redis has %q", got)
			}
			first := get(t, c, url)
			first.expect(t, http.StatusOK, `{"key":"`+key+`","value":"world"}`)
			if got := first.Header.Get("Cache-Status"); got != "redis_proxy; fwd=uri-miss; stored" {
				t.Error(got)
			}
			second := get(t, c, url)
			second.expect(t, http.StatusOK, first.body)
			if got := second.Header.Get("Cache-Status"); !strings.HasPrefix(got, "redis_proxy; hit; ttl=") {
				t.Error(got)
			}
			if got := ranks(t, client, "long"); got != key+"=1" {
				t.Errorf("the ranks are %s", got)
			}

			conflict := postJSON(t, c, url, `"other"`)
			conflict.expectStatus(t, http.StatusConflict)
			if !strings.Contains(conflict.body, `"same_value":false`) {
				t.Error(conflict.body)
			}
			get(t, c, url).expect(t, http.StatusOK, first.body)

			url = at + "/short/" + key
			postJSON(t, c, url, "1").expectStatus(t, http.StatusCreated)
			get(t, c, url).expectStatus(t, http.StatusOK)
			if got := ranks(t, client, "short"); got != key+"=1" {
				t.Errorf("the ranks are %s", got)
			}
			eventually(t, "the rank is 2", func() bool {
				get(t, c, url).expect(t, http.StatusOK, `{"key":"`+key+`","value":1}`)
				return ranks(t, client, "short") == key+"=2"
			})
		})
	}
}

func TestEviction(t *testing.T) {
	redis := redistest.Start(t)
	for _, store := range []string{"embedded", redis.URL()} {
		t.Run(strings.SplitN(store, ":", 2)[0], func(t *testing.T) {
			s := start(t, "redis_proxy {\nstore "+store+"\nmax_keys 2\n}")
			at := "https://" + s.https + "/cache/"
			postJSON(t, s.http1, at+"hello", "1").expectStatus(t, http.StatusCreated)
			postJSON(t, s.http1, at+"hello2", "2").expectStatus(t, http.StatusCreated)
			get(t, s.http1, at+"hello").expectStatus(t, http.StatusOK)
			postJSON(t, s.http1, at+"hello3", "3").expectStatus(t, http.StatusCreated)
			get(t, s.http1, at+"hello2").expectStatus(t, http.StatusNotFound)
			get(t, s.http1, at+"hello").expect(t, http.StatusOK, `{"key":"hello","value":1}`)
			get(t, s.http1, at+"hello3").expect(t, http.StatusOK, `{"key":"hello3","value":3}`)
		})
	}
}

func TestReload(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	site := func(settings string) string { return "redis_proxy {\nstore " + redis.URL() + "\n" + settings + "\n}" }
	s := start(t, site("max_keys 3"))
	at := "http://" + s.http + "/cache/"
	for _, key := range []string{"a", "b", "c"} {
		postJSON(t, s.plain, at+key, "1").expectStatus(t, http.StatusCreated)
	}
	get(t, s.plain, at+"a").expectStatus(t, http.StatusOK)
	const all = "b=0 c=0 a=1"

	// data returns all stored data and the limits.
	data := func() string {
		return ranks(t, client, "cache") + " max_keys=" + client.HGet(t.Context(), "{cache}:state", "max_keys").Val()
	}
	if got := data(); got != all+" max_keys=3" {
		t.Fatal(got)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = loadWith(s, site("max_keys 1"), "http://"+taken.Addr().String()+" {\n}")
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("Caddy did not reject the configuration: %v", err)
	}
	s.validate(site("max_keys 1"))
	get(t, s.plain, at+"b").expectStatus(t, http.StatusOK)
	postJSON(t, s.plain, at+"a", "2").expectStatus(t, http.StatusConflict)
	if got := data(); got != "c=0 a=1 b=1 max_keys=3" {
		t.Errorf("a rejected configuration left %s", got)
	}

	s.reload(site("max_keys 2"))
	if got := get(t, s.plain, at+"a").Header.Get("Cache-Status"); !strings.Contains(got, "hit") {
		t.Errorf("the local tier did not survive: %s", got)
	}
	postJSON(t, s.plain, at+"d", "1").expectStatus(t, http.StatusCreated)
	eventually(t, "two entries are left", func() bool { return len(strings.Fields(ranks(t, client, "cache"))) == 2 })
	if got := data(); !strings.HasSuffix(got, " max_keys=2") {
		t.Error(got)
	}

	s.reload("respond ok")
	if n := goroutines("caddy-redis-proxy/engine."); n != 0 {
		t.Errorf("%d goroutines of an engine that nobody uses\n%s", n, stacks())
	}
}

// TestAReloadConvertsTheOrderWhileAnotherNodeWrites changes the policy twice. The
// namespace has more entries than a batch converts.
func TestAReloadConvertsTheOrderWhileAnotherNodeWrites(t *testing.T) {
	const maxKeys, favourites = 1500, 20
	redis := redistest.Start(t)
	client := redis.Client()
	site := func(eviction string) string {
		return "redis_proxy {\nstore " + redis.URL() + "\nmax_keys " + strconv.Itoa(maxKeys) + "\nlocal_ttl 0s\neviction " + eviction + "\n}"
	}
	s := start(t, site("rank"))
	at := "http://" + s.http + "/cache/"

	// The other node keeps the configuration that it has.
	target, err := redisstore.Parse(redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	other := redisstore.New(redisstore.Config{Target: target, Namespace: "cache", Logger: zap.NewNop()})
	defer other.Close()
	limits := store.Limits{MaxKeys: maxKeys, Eviction: "rank"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	write := func(prefix string, n int) (store.Applied, error) {
		b := store.Batch{Limits: limits}
		for i := range n {
			b.Writes = append(b.Writes, store.Write{Op: store.Create, Key: prefix + strconv.Itoa(i), Value: store.Value{Kind: store.Raw}})
		}
		return other.Apply(ctx, b)
	}
	var popular []string
	for i := range favourites {
		popular = append(popular, "popular"+strconv.Itoa(i))
	}
	for prefix, n := range map[string]int{"popular": favourites, "a": 1000, "b": maxKeys - favourites - 1000} {
		if _, err := write(prefix, n); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if _, err := other.Fetch(ctx, popular, store.AnyRoom); err != nil {
			t.Fatal(err)
		}
	}

	var done atomic.Bool
	var writing sync.WaitGroup
	defer writing.Wait()
	defer done.Store(true)
	writing.Go(func() {
		for i := 0; !done.Load(); i++ {
			a, err := write("new"+strconv.Itoa(i)+"-", 3)
			if err != nil || a.Keys != maxKeys {
				t.Errorf("%d keys, %v", a.Keys, err)
				return
			}
		}
	})
	for _, eviction := range []string{"adaptive", "rank"} {
		s.reload(site(eviction))
		get(t, s.plain, at+"popular0").expectStatus(t, http.StatusOK)
		eventually(t, "all is ordered by "+eviction, func() bool {
			state := client.HMGet(t.Context(), "{cache}:state", "eviction", "former").Val()
			return state[0] == eviction && state[1] == nil
		})
	}
	done.Store(true)
	writing.Wait()
	top, err := other.Page(ctx, "", favourites, store.Valued)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range top.Entries {
		if !strings.HasPrefix(e.Key, "popular") || e.Rank < 2 || e.Rank != math.Floor(e.Rank) {
			t.Errorf("%q is among those that are valued most, with rank %v", e.Key, e.Rank)
		}
	}
}

// TestStopLosesNoAcknowledgedWrite stops Caddy while Redis hangs and writes wait in the
// queue.
func TestStopLosesNoAcknowledgedWrite(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	s := start(t, "redis_proxy {\nstore "+redis.URL()+"\n}")
	at := "https://" + s.https + "/cache/"
	postJSON(t, s.http2, at+"first", "1").expectStatus(t, http.StatusCreated)

	redis.Pause()
	const writes = 50
	var mu sync.Mutex
	var acknowledged []string
	var clients sync.WaitGroup
	for i := range writes {
		clients.Go(func() {
			key := "k" + strconv.Itoa(i)
			// Only the test's goroutine may end the test, so this one reports the error.
			a, err := try(context.Background(), s.http2, request{"POST", at + key, "v", nil})
			if err == nil && a.StatusCode == http.StatusCreated {
				mu.Lock()
				acknowledged = append(acknowledged, key)
				mu.Unlock()
			}
		})
	}
	eventually(t, "all writes wait", func() bool { return goroutines("engine.(*Engine).Write") == writes })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	eventually(t, "the engine closes", func() bool { return goroutines("engine.(*Engine).Close") > 0 })
	redis.Resume()
	clients.Wait()
	<-stopped

	if len(acknowledged) != writes {
		t.Errorf("%d of %d waiting writes were acknowledged", len(acknowledged), writes)
	}
	for _, key := range acknowledged {
		if got := client.HGet(t.Context(), "{cache}:values", key).Val(); got != "v" {
			t.Errorf("%s was acknowledged and is %q", key, got)
		}
	}
}
