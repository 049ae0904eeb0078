package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestAnImportOfTheOriginal(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	ctx := t.Context()
	client.HSet(ctx, "LRU-STORE", "often", "a", "never", "b", "bytes", "\xff", "also never", "c", "unranked", "d", "bad\nkey", "e")
	client.ZAdd(ctx, "LRU-KEYS", redisZ(7, "often"), redisZ(0, "never"), redisZ(2, "bytes"), redisZ(0, "also never"), redisZ(1, "no value"), redisZ(1, "bad\nkey"))
	before := client.DBSize(ctx).Val()
	_, progress := succeed(t, "import", "--original", "--store", server.URL(), "--namespace", "new")
	if !strings.Contains(progress, "imported 6 of 6 entries: 5 restored, 1 cannot be entries\n") {
		t.Errorf("progress: %s", progress)
	}
	want := []string{
		`unranked 0 s "" "d"`, `also never 0 s "" "c"`, `never 0 s "" "b"`,
		`bytes 2 r "application/octet-stream" "\xff"`, `often 7 s "" "a"`,
	}
	if got := openNamespace(t, server, "new").entries(); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if n := client.HLen(ctx, "LRU-STORE").Val(); n != 6 || before != 2 {
		t.Errorf("the original has %d values", n)
	}
	_, progress = succeed(t, "import", "--original", "--store", server.URL(), "--namespace", "new", "--from", server.URL())
	if !strings.Contains(progress, "0 restored, 5 were there already") {
		t.Errorf("again: %s", progress)
	}
	client.Del(ctx, "LRU-KEYS")
	_, progress = succeed(t, "import", "--original", "--store", server.URL(), "--namespace", "unread")
	if !strings.Contains(progress, "imported 6 of 6 entries: 5 restored, 1 cannot be entries\n") {
		t.Errorf("without ranks: %s", progress)
	}
	client.Set(ctx, "LRU-KEYS", "x", 0)
	code, _, stderr := runCommand(t, "import", "--original", "--store", server.URL())
	if code != 2 || !strings.Contains(stderr, "LRU-KEYS is a string, and a zset was expected") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestAnImportOfTheOriginalKeepsTheHighestRanks(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	for i := range 20 { // unranked, more than there is room for
		client.HSet(t.Context(), "LRU-STORE", fmt.Sprint("unranked", i), "v")
	}
	for i := range 6 {
		key := fmt.Sprint("rank", i)
		client.HSet(t.Context(), "LRU-STORE", key, "v")
		client.ZAdd(t.Context(), "LRU-KEYS", redisZ(float64(i), key))
	}
	for _, p := range store.Policies {
		for _, c := range []struct {
			room int
			want string
		}{{4, "rank2 rank3 rank4 rank5"}, {8, "unranked unranked rank0 rank1 rank2 rank3 rank4 rank5"}} {
			t.Run(fmt.Sprint(p.Name, " with room for ", c.room), func(t *testing.T) {
				namespace := fmt.Sprint(p.Name, c.room)
				succeed(t, "import", "--original", "--store", server.URL(), "--namespace", namespace, "--eviction", p.Name, "--max-keys", fmt.Sprint(c.room))
				var keys []string
				for _, e := range openNamespace(t, server, namespace).entries() {
					key, _, _ := strings.Cut(e, " ")
					if strings.HasPrefix(key, "unranked") {
						key = "unranked"
					}
					keys = append(keys, key)
				}
				if got := strings.Join(keys, " "); got != c.want {
					t.Errorf("%s remain, want %s", got, c.want)
				}
			})
		}
	}
}

func redisZ(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

func TestKeysOfAllHandlersAreExportedAndImported(t *testing.T) {
	server := redistest.Start(t)
	long := strings.Repeat("k", 600)
	openNamespace(t, server, "cache").apply(hundred, createOf(long, "v", store.String, ""))
	config := filepath.Join(t.TempDir(), "Caddyfile")
	site := func(port, size string) string {
		return ":" + port + " {\n\tredis_proxy {\n\t\tstore " + server.URL() + "\n\t\tmax_key_size " + size + "\n\t}\n}\n"
	}
	for _, sizes := range [][2]string{{"1024", "8"}, {"8", "1024"}} {
		if err := os.WriteFile(config, []byte(site("8080", sizes[0])+site("8081", sizes[1])), 0o600); err != nil {
			t.Fatal(err)
		}
		exported, progress := succeed(t, "export", "--config", config)
		if !strings.Contains(progress, "exported 1 of 1 entries") {
			t.Errorf("max_key_size %v: %s", sizes, progress)
		}
		cmd, _, stderr := command(t, "import", "--config", config)
		cmd.Stdin = strings.NewReader(exported)
		if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), "1 were there already") {
			t.Errorf("max_key_size %v: %v, %s", sizes, err, stderr)
		}
	}
}

func TestEachLimitOfANewNamespaceHasItsOwnDefault(t *testing.T) {
	server := redistest.Start(t)
	openNamespace(t, server, "old").apply(store.Limits{MaxKeys: 7, MaxBytes: 1000, Eviction: "lru"}, createOf("k", "v", store.String, ""))
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	succeed(t, "export", "--store", server.URL(), "--namespace", "old", "--output", file)
	server.Client().HSet(t.Context(), "LRU-STORE", "k", "v")
	source := map[string][]string{"file": {"--input", file}, "original": {"--original"}}
	for i, c := range []struct {
		from  string
		flags []string
		want  store.Limits
	}{
		{"file", nil, store.Limits{MaxKeys: 7, MaxBytes: 1000, Eviction: "lru"}},
		{"file", []string{"--max-keys", "9"}, store.Limits{MaxKeys: 9, MaxBytes: 1000, Eviction: "lru"}},
		{"file", []string{"--max-bytes", "2kB"}, store.Limits{MaxKeys: 7, MaxBytes: 2000, Eviction: "lru"}},
		{"file", []string{"--max-bytes", "0"}, store.Limits{MaxKeys: 7, Eviction: "lru"}},
		{"file", []string{"--eviction", "adaptive"}, store.Limits{MaxKeys: 7, MaxBytes: 1000, Eviction: "adaptive"}},
		{"original", nil, store.Limits{MaxKeys: 10000, Eviction: "rank"}},
		{"original", []string{"--max-bytes", "2kB"}, store.Limits{MaxKeys: 10000, MaxBytes: 2000, Eviction: "rank"}},
		{"original", []string{"--max-keys", "9", "--eviction", "lru"}, store.Limits{MaxKeys: 9, Eviction: "lru"}},
	} {
		namespace := fmt.Sprint("new", i)
		succeed(t, slices.Concat([]string{"import", "--store", server.URL(), "--namespace", namespace}, source[c.from], c.flags)...)
		if got := openNamespace(t, server, namespace).size().Limits; got != c.want {
			t.Errorf("%s, %v: %+v, want %+v", c.from, c.flags, got, c.want)
		}
	}
}

func TestImportedKeysGetTheirPrefix(t *testing.T) {
	server := redistest.Start(t)
	server.Client().HSet(t.Context(), "LRU-STORE", "k", "v", strings.Repeat("k", keypath.MaxKeySize), "too long with it")
	config := filepath.Join(t.TempDir(), "Caddyfile")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(namespace string) string {
		got := server.Client().HKeys(t.Context(), "{"+namespace+"}:values").Val()
		slices.Sort(got)
		return strings.Join(got, " ")
	}
	site := func(port, prefix string) string {
		return "http://:" + port + " {\n\tredis_proxy {\n\t\tstore " + server.URL() + "\n\t\tnamespace tenants\n\t\t" + prefix + "\n\t}\n}\n"
	}
	original := []string{"import", "--original", "--config", config}

	write(config, site("8080", "key_prefix {host}/"))
	code, _, stderr := runCommand(t, original...)
	if code != 2 || !strings.Contains(stderr, "redis_proxy puts {host}/ before every key") && !strings.Contains(stderr, "redis_proxy puts {http.request.host}/ before every key") {
		t.Errorf("%d, %s", code, stderr)
	}
	_, progress := succeed(t, append(original, "--key-prefix", "a.test/")...)
	if got := keys("tenants"); got != "a.test/k" || !strings.Contains(progress, "1 restored, 1 cannot be entries") {
		t.Errorf("%s; %s", got, progress)
	}
	// One handler without a prefix can name all keys.
	write(config, site("8080", "key_prefix {host}/")+site("8081", ""))
	succeed(t, original...)
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	write(file, `{"redis_proxy_export":3,"namespace":"n","eviction":"rank","max_keys":9}`+"\n"+`{"key":"f","value":1}`+"\n"+`{"end":true,"entries":1}`+"\n")
	succeed(t, "import", "--config", config, "--input", file, "--key-prefix", "a.test/")
	if got := keys("tenants"); !strings.HasPrefix(got, "a.test/f a.test/k k kkk") {
		t.Errorf("%.40s", got)
	}
	code, _, stderr = runCommand(t, "import", "--config", config, "--input", file, "--key-prefix", "../")
	if code != 2 || !strings.Contains(stderr, "line 2: the key has a . or .. segment") {
		t.Errorf("%d, %s", code, stderr)
	}
}
