package command_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// partitionsOf opens a namespace with n partitions.
func partitionsOf(t testing.TB, url, name string, n int) (partitions []namespace, locate func(key string) int) {
	t.Helper()
	target, err := redisstore.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	p := redisstore.NewPartitions(redisstore.Config{Target: target, Namespace: name, Logger: zap.NewNop()}, n)
	t.Cleanup(func() { _ = p.Close() })
	for _, st := range p.Stores() {
		partitions = append(partitions, namespace{st, t})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if locate, err = p.Locate(ctx, true); err != nil {
		t.Fatal(err)
	}
	return partitions, locate
}

// spreadEntries shows the entries of all partitions, sorted by key.
func spreadEntries(partitions []namespace) (shown []string) {
	for _, n := range partitions {
		shown = append(shown, n.entries()...)
	}
	slices.Sort(shown)
	return shown
}

func TestTheNumberOfPartitionsIsChangedByExportAndImport(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	url := cluster.URL()
	limits := store.Limits{MaxKeys: 1000, Eviction: "rank"}
	old, _ := partitionsOf(t, url, "old", 1)
	for i := range 60 {
		old[0].apply(limits, createOf(fmt.Sprintf("key-%02d", i), fmt.Sprint("value ", i), store.String, ""))
	}
	for i := range 60 {
		for range i % 7 {
			old[0].fetch(fmt.Sprintf("key-%02d", i))
		}
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	want := spreadEntries(old)
	inOrder := old[0].entries()

	// 1 to 4, 4 to 3, and 3 to 1.
	succeed(t, "export", "--store", url, "--namespace", "old", "--output", path("1"))
	from := "1"
	for _, n := range []int{4, 3, 1} {
		name := fmt.Sprint("to", n)
		_, progress := succeed(t, "import", "--store", url, "--namespace", name, "--partitions", fmt.Sprint(n), "--input", path(from))
		if !strings.Contains(progress, "imported 60 of 60 entries: 60 restored\n") {
			t.Errorf("to %d partitions: %s", n, progress)
		}
		partitions, locate := partitionsOf(t, url, name, n)
		if got := spreadEntries(partitions); !slices.Equal(got, want) {
			t.Errorf("%d partitions have\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for i, p := range partitions {
			if got, want := p.size().Limits, limits.Share(i, n); got != want {
				t.Errorf("partition %d of %d has %+v, want %+v", i, n, got, want)
			}
			if n != 4 {
				continue
			}
			mine := slices.DeleteFunc(slices.Clone(inOrder), func(entry string) bool {
				key, _, _ := strings.Cut(entry, " ")
				return locate(key) != i
			})
			if got := p.entries(); !slices.Equal(got, mine) {
				t.Errorf("partition %d has %v, want %v", i, got, mine)
			}
		}
		from = name
		_, progress = succeed(t, "export", "--store", url, "--namespace", name, "--output", path(from))
		if !strings.Contains(progress, "exported 60 of 60 entries") {
			t.Errorf("from %d partitions: %s", n, progress)
		}
	}

	t.Run("an unfinished file is continued", func(t *testing.T) {
		whole, err := os.ReadFile(path("to4"))
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{len(whole) / 3, len(whole) * 2 / 3, len(whole) - 10} {
			if err := os.WriteFile(path("cut"), whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			succeed(t, "export", "--store", url, "--namespace", "to4", "--output", path("cut"), "--resume")
			if again, err := os.ReadFile(path("cut")); err != nil || string(again) != string(whole) {
				t.Errorf("cut at %d: %v\n%s\nwant\n%s", cut, err, again, whole)
			}
		}
	})

	refused := func(t *testing.T, want string, args ...string) {
		t.Helper()
		if code, _, stderr := runCommand(t, args...); code != 2 || !strings.Contains(strings.ReplaceAll(stderr, `\"`, `"`), want) {
			t.Errorf("%v: exit code %d, %s; want %s", args, code, stderr, want)
		}
	}
	t.Run("another number is refused", func(t *testing.T) {
		config := path("Caddyfile")
		write := func(settings string) {
			text := ":8080 {\n\tredis_proxy {\n\t\tstore " + url + "\n\t\tnamespace to4\n\t\t" + settings + "\n\t}\n}\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("partitions 2")
		differs := `the configuration has partitions 2, and the namespace "to4" has 4 in Redis, which never changes; write partitions 4 there, or choose another namespace`
		refused(t, differs, "export", "--config", config)
		refused(t, differs, "import", "--config", config, "--input", path("1"))
		refused(t, `--partitions is 2, and the namespace "to4" has 4 in Redis, which never changes; leave the flag out, or choose another namespace`,
			"import", "--store", url, "--namespace", "to4", "--partitions", "2", "--input", path("1"))
		write("partitions 4")
		exported, _ := succeed(t, "export", "--config", config)
		if whole, err := os.ReadFile(path("to4")); err != nil || exported != string(whole) {
			t.Errorf("%v\n%s\nwant\n%s", err, exported, whole)
		}
		_, progress := succeed(t, "import", "--store", url, "--namespace", "to4", "--input", path("1"))
		if !strings.Contains(progress, "0 restored, 60 were there already") {
			t.Error(progress)
		}
	})
	t.Run("limits without a share for each are refused, and nothing is begun", func(t *testing.T) {
		refused(t, "max_keys is 3, which is less than one key for each of the 4 partitions; give --max-keys",
			"import", "--store", url, "--namespace", "none", "--partitions", "4", "--max-keys", "3", "--input", path("1"))
		refused(t, "max_bytes is 3, which is less than one byte for each of the 4 partitions; give --max-bytes",
			"import", "--store", url, "--namespace", "none", "--partitions", "4", "--max-bytes", "3", "--input", path("1"))
		refused(t, `this Redis has no namespace "none"`, "export", "--store", url, "--namespace", "none")
		target, err := redisstore.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if n, err := redisstore.CountPartitions(ctx, redisstore.Config{Target: target, Namespace: "none", Logger: zap.NewNop()}); n != 0 || err != nil {
			t.Errorf("%d partitions, %v", n, err)
		}
	})
	t.Run("the original is spread too", func(t *testing.T) {
		server := redistest.Start(t)
		values := make(map[string]string)
		for i := range 12_000 {
			values[fmt.Sprint("key", i)] = "v"
		}
		server.Client().HSet(t.Context(), "LRU-STORE", values)
		server.Client().ZAdd(t.Context(), "LRU-KEYS", redisZ(7, "key1"), redisZ(3, "key2"))
		_, progress := succeed(t, "import", "--original", "--from", server.URL(), "--store", url, "--namespace", "original", "--partitions", "4")
		if !strings.Contains(progress, "imported 12000 of 12000 entries: 12000 restored\n") {
			t.Error(progress)
		}
		partitions, locate := partitionsOf(t, url, "original", 4)
		for key, rank := range map[string]float64{"key1": 7, "key2": 3, "key3": 0} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if e, err := partitions[locate(key)].Look(ctx, key); err != nil || e == nil || e.Rank != rank {
				t.Errorf("%s: %+v, %v", key, e, err)
			}
		}
	})
}
