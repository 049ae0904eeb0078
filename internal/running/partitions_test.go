package running_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// tags returns the tags in the keys of a cluster, and the place of the node that has them.
func tags(t *testing.T, c *redistest.Cluster) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for i, node := range c.Nodes[:3] {
		keys, err := node.Client().Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			tag, _, _ := strings.Cut(strings.TrimPrefix(key, "{"), "}")
			all[tag] = i
		}
	}
	return all
}

func TestPartitionsAreSpreadOverTheClusterAndKeepTheirLimits(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	h := sitetest.Parse(t, "store "+cluster.URL()+"\nnamespace spread\npartitions 3\nmax_keys 32\nmethods GET POST PUT DELETE\nlocal_ttl 0")
	sitetest.Provision(t, sitetest.Context(t), h)
	s := sitetest.Serve(t, h)
	if got := tags(t, cluster); len(got) != 0 {
		t.Errorf("a configuration that nobody has used wrote %v", got)
	}
	for i := range 200 {
		key := fmt.Sprintf("/cache/k%d", i)
		if got := s.Send("POST " + key + "\n\n" + key); !strings.HasPrefix(got, "201 ") {
			t.Fatal(got)
		}
		if got := s.Send("GET " + key); !strings.HasPrefix(got, "200 ") || !sitetest.HasBody(got, key) {
			t.Fatal(got)
		}
		if got := s.Send("PUT " + key + "\n\nnew"); !strings.HasPrefix(got, "200 ") {
			t.Fatal(got)
		}
	}
	size, err := sitetest.CacheOf(t, h).Engine.Size(t.Context())
	if err != nil || size.Keys != 32 || size.Limits.MaxKeys != 32 {
		t.Errorf("%+v, %v", size, err)
	}
	nodes := make(map[int]int)
	for i, p := range sitetest.CacheOf(t, h).Partitions(t.Context()) {
		if want := []int{11, 11, 10}[i]; p.Err != nil || p.Size.Keys != want || p.Size.Limits.MaxKeys != want || p.Health.Reads != nil || !p.Subscribed {
			t.Errorf("partition %d: %+v, want %d keys", i, p, want)
		}
	}
	all := tags(t, cluster)
	for tag, node := range all {
		if strings.Contains(tag, "/") {
			nodes[node]++
		}
	}
	if !maps.Equal(nodes, map[int]int{0: 1, 1: 1, 2: 1}) {
		t.Errorf("the nodes have the tags %v", all)
	}
	var batch []string
	found := 0
	for i := range 200 {
		key := fmt.Sprintf("k%d", i)
		if i < 100 {
			batch = append(batch, "key="+key)
		}
		if strings.HasPrefix(s.Send("GET /cache/"+key), "200 ") {
			found++
			if got := s.Send("DELETE /cache/" + key); !strings.HasPrefix(got, "204 ") {
				t.Error(got)
			}
		}
	}
	if found != 32 {
		t.Errorf("%d keys were found", found)
	}
	if got := s.Send("GET /cache?" + strings.Join(batch, "&")); !strings.HasPrefix(got, "200 ") || strings.Contains(got, "new") {
		t.Errorf("after all were deleted, a batch read answers %s", got)
	}
}

func TestAReloadKeepsThePartitions(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	load := func(settings string) *redisproxy.Handler {
		t.Helper()
		h := sitetest.Parse(t, "store "+cluster.URL()+"\nnamespace kept\nlocal_ttl 0\n"+settings)
		if err := h.Provision(sitetest.Context(t)); err != nil {
			t.Fatal(err)
		}
		return h
	}
	unload := func(h *redisproxy.Handler) {
		t.Helper()
		if err := h.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	old := load("partitions 3\nmax_keys 3000")
	for i := range 30 {
		sitetest.Serve(t, old).Send(fmt.Sprintf("POST /cache/k%d\n\nv", i))
	}
	next := load("partitions 3\nmax_keys 1801")
	unload(old)
	s := sitetest.Serve(t, next)
	for i := range 30 {
		if got := s.Send(fmt.Sprintf("GET /cache/k%d", i)); !strings.HasPrefix(got, "200 ") {
			t.Errorf("k%d: %s", i, got)
		}
	}
	cluster.Await("all partitions have their shares of the new limit", func() bool {
		var shares []int
		for _, p := range sitetest.CacheOf(t, next).Partitions(t.Context()) {
			shares = append(shares, p.Size.Limits.MaxKeys)
		}
		return slices.Equal(shares, []int{601, 600, 600})
	})
	unload(next)

	// After a restart the seed is that of Redis.
	again := load("partitions 3\nmax_keys 1801")
	defer unload(again)
	s = sitetest.Serve(t, again)
	for i := range 30 {
		if got := s.Send(fmt.Sprintf("GET /cache/k%d", i)); !strings.HasPrefix(got, "200 ") {
			t.Errorf("k%d: %s", i, got)
		}
	}
}

func TestTheNumberOfPartitionsStays(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	parse := func(partitions int) *redisproxy.Handler {
		return sitetest.Parse(t, fmt.Sprintf("store %s\nnamespace stays\npartitions %d", cluster.URL(), partitions))
	}
	refused := func(partitions int, want string) {
		t.Helper()
		h := parse(partitions)
		err := h.Provision(sitetest.Context(t))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	ctx := sitetest.Context(t)
	three := parse(3)
	if err := three.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	s := sitetest.Serve(t, three)
	s.Send("POST /cache/k\n\nv")

	// Of another handler, and of a new configuration.
	four := parse(4)
	if err := four.Provision(ctx); err == nil || !strings.HasPrefix(err.Error(), `partitions differs between handlers that share the namespace "stays"`) {
		t.Error(err)
	}
	if err := four.Cleanup(); err != nil {
		t.Error(err)
	}
	for _, n := range []int{1, 2, 4} {
		refused(n, fmt.Sprintf(`partitions: it is %d, and the namespace "stays" of this store has 3, which never changes: leave 3, or export the entries and import them into another namespace with %d (docs/export.md says how)`, n, n))
	}
	if got := s.Send("GET /cache/k"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("the cache in force answers %s", got)
	}
	if err := three.Cleanup(); err != nil {
		t.Fatal(err)
	}

	// Of a new process. It does not know what Redis has before it asks.
	for _, n := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			other := sitetest.New(t, fmt.Sprintf("store %s\nnamespace stays\npartitions %d", cluster.URL(), n))
			for _, request := range []string{"GET /cache/k", "POST /cache/new\n\nv"} {
				want := "the keys of this cache are spread over partitions in another way than this server knows, nothing was changed"
				if got := other.Send(request); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, want) {
					t.Errorf("%s: %s", request, got)
				}
			}
		})
	}
}
