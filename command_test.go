package redisproxy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// runCaddy makes this test binary a Caddy.
const runCaddy = "RUN_CADDY"

// command prepares `caddy redis-proxy …` in a process of its own.
func command(t testing.TB, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{"redis-proxy"}, args...)...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(os.Environ(), runCaddy+"=1")
	cmd.Dir = t.TempDir() // no Caddyfile there
	return cmd, stdout, stderr
}

// runCommand runs `caddy redis-proxy …` to its end.
func runCommand(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, out, errs := command(t, args...)
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// succeed runs a command that must exit with 0.
func succeed(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := runCommand(t, args...)
	if code != 0 {
		t.Fatalf("%v exited with %d:\n%s", args, code, stderr)
	}
	return stdout, stderr
}

// namespace is one that a test looks into.
type namespace struct {
	*redisstore.Store
	t testing.TB
}

func openNamespace(t testing.TB, server *redistest.Server, name string) namespace {
	t.Helper()
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: name, Logger: zap.NewNop()})
	t.Cleanup(func() { _ = st.Close() })
	return namespace{st, t}
}

func (n namespace) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(n.t.Context(), patience)
}

func (n namespace) size() store.Size {
	n.t.Helper()
	ctx, cancel := n.within()
	defer cancel()
	size, err := n.Size(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	return size
}

func (n namespace) apply(limits store.Limits, writes ...store.Write) {
	n.t.Helper()
	for part := range slices.Chunk(writes, store.MaxBatch) {
		ctx, cancel := n.within()
		defer cancel()
		if _, err := n.Apply(ctx, store.Batch{Writes: part, Limits: limits}); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n namespace) fetch(keys ...string) {
	n.t.Helper()
	for _, key := range keys {
		ctx, cancel := n.within()
		defer cancel()
		if _, err := n.Fetch(ctx, []string{key}, store.AnyRoom); err != nil {
			n.t.Fatal(err)
		}
	}
}

// entries shows all entries in eviction order.
func (n namespace) entries() []string {
	n.t.Helper()
	var shown []string
	for after := store.Cursor(""); ; {
		ctx, cancel := n.within()
		defer cancel()
		page, err := n.Page(ctx, after, store.MaxBatch, store.Next)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, l := range page.Entries {
			e, err := n.Look(ctx, l.Key)
			if err != nil || e == nil {
				n.t.Fatalf("looking at %q: %v", l.Key, err)
			}
			shown = append(shown, fmt.Sprintf("%s %v %c %q %q", l.Key, l.Rank, e.Entry.Kind, e.Entry.ContentType, e.Entry.Data))
		}
		if after = page.Next; after == "" {
			return shown
		}
	}
}

func createOf(key, data string, kind store.Kind, contentType string) store.Write {
	return store.Write{Op: store.Create, Key: key, Value: store.Value{Data: []byte(data), Kind: kind, ContentType: contentType}}
}

var hundred = store.Limits{MaxKeys: 100, Eviction: "rank"}

func TestARestoredNamespaceIsTheOldOne(t *testing.T) {
	server := redistest.Start(t)
	old := openNamespace(t, server, "old")
	old.apply(hundred,
		createOf("text", "world <é> \"quoted\"\n", store.String, ""),
		createOf("empty", "", store.String, ""),
		createOf("number", "1.0e+2", store.JSON, ""),
		createOf("null", "null", store.JSON, ""),
		createOf("list", `[1,  "a<b", {"b":2,"a":"\u00e9\ud83d\ude00"}]`, store.JSON, ""),
		createOf("lines", "{\n\t\"a\": 1\r\n}", store.JSON, ""),
		createOf("bytes", "\xff\x00\n", store.Raw, "image/png"),
		createOf("untyped", "", store.Raw, ""),
		createOf("not UTF-8", "a\xff", store.String, ""),
		createOf(`k/"ey" é`, "v", store.String, ""),
	)
	old.fetch("bytes", "empty", "empty", "number", "list")

	export, progress := succeed(t, "export", "--store", server.URL(), "--namespace", "old")
	if !strings.Contains(progress, "exported 10 of 10 entries, ") {
		t.Errorf("progress: %s", progress)
	}
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	_, progress = succeed(t, "import", "--store", server.URL(), "--namespace", "new", "--input", file)
	if !strings.Contains(progress, "imported 10 of 10 entries: 10 restored\n") {
		t.Errorf("progress: %s", progress)
	}
	restored := openNamespace(t, server, "new")
	same := func(when string) {
		t.Helper()
		if got, want := restored.entries(), old.entries(); !slices.Equal(got, want) {
			t.Errorf("%s\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	same("restored")
	// bytes is younger than empty was when it got there: ages count too.
	old.fetch("bytes", "text", "lines")
	restored.fetch("bytes", "text", "lines")
	same("after more reads")

	if size := restored.size(); size.Limits != hundred {
		t.Errorf("limits %+v", size.Limits)
	}
	t.Run("again", func(t *testing.T) {
		_, progress := succeed(t, "import", "--store", server.URL(), "--namespace", "new", "--input", file)
		if !strings.Contains(progress, "imported 10 of 10 entries: 0 restored, 10 were there already\n") {
			t.Errorf("progress: %s", progress)
		}
		same("restored twice")
	})
	t.Run("over other values", func(t *testing.T) {
		other := openNamespace(t, server, "other")
		other.apply(hundred, createOf("text", "mine", store.String, ""))
		_, progress := succeed(t, "import", "--store", server.URL(), "--namespace", "other", "--input", file)
		if !strings.Contains(progress, ": 9 restored, 1 exist with another value, which stays\n") {
			t.Errorf("progress: %s", progress)
		}
		if got := strings.Join(other.entries(), "\n"); !strings.Contains(got, `text 0 s "" "mine"`) {
			t.Error(got)
		}
	})
	t.Run("with less room", func(t *testing.T) {
		_, progress := succeed(t, "import", "--store", server.URL(), "--namespace", "small", "--input", file, "--max-keys", "3")
		if !strings.Contains(progress, ": 3 restored, 7 have no room\n") {
			t.Errorf("progress: %s", progress)
		}
		var keys []string
		for _, e := range openNamespace(t, server, "small").entries() {
			key, _, _ := strings.Cut(e, " ")
			keys = append(keys, key)
		}
		if want := []string{"list", "bytes", "empty"}; !slices.Equal(keys, want) {
			t.Errorf("%v, want %v", keys, want)
		}
	})
	t.Run("from the standard input, into a store of a configuration", func(t *testing.T) {
		config := filepath.Join(t.TempDir(), "Caddyfile")
		caddyfile := ":8080 {\n\tredis_proxy {\n\t\tstore " + server.URL() + "\n\t\tnamespace fromconfig\n\t\tmax_keys 50\n\t}\n}\n:8081 {\n\tredis_proxy {\n\t\tnamespace here\n\t}\n}\n"
		if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, _, stderr := command(t, "import", "--config", config, "-q")
		cmd.Stdin = strings.NewReader(export)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		if stderr.Len() > 0 {
			t.Errorf("not quiet: %s", stderr)
		}
		n := openNamespace(t, server, "fromconfig")
		if size := n.size(); size.Limits.MaxKeys != 50 || size.Keys != 10 {
			t.Errorf("%+v", size)
		}
		again, _ := succeed(t, "export", "--config", config, "--namespace", "fromconfig")
		if head, _, _ := strings.Cut(again, "\n"); !strings.Contains(head, `"namespace":"fromconfig","eviction":"rank","max_keys":50,`) {
			t.Error(head)
		}
	})
}

func TestAContentTypeThatIsNoneIsNotExported(t *testing.T) {
	server := redistest.Start(t)
	openNamespace(t, server, "old").apply(hundred, createOf("k", "v", store.Raw, "text/\xff"))
	exported, _ := succeed(t, "export", "--store", server.URL(), "--namespace", "old")
	if strings.Contains(exported, "content_type") || strings.Contains(exported, "\ufffd") {
		t.Error(exported)
	}
	cmd, _, stderr := command(t, "import", "--store", server.URL(), "--namespace", "new")
	cmd.Stdin = strings.NewReader(exported)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	if got := openNamespace(t, server, "new").entries(); !slices.Equal(got, []string{`k 0 r "" "v"`}) {
		t.Errorf("%q", got)
	}
}

func TestExportAndImportGoOnAfterTheyWereKilled(t *testing.T) {
	server := redistest.Start(t)
	const entries = 6000
	old := openNamespace(t, server, "old")
	var writes []store.Write
	for i := range entries {
		writes = append(writes, createOf(fmt.Sprintf("key-%d", i), strings.Repeat("v", 1000)+fmt.Sprint(i), store.String, ""))
	}
	old.apply(store.Limits{MaxKeys: entries, Eviction: "rank"}, writes...)
	old.fetch("key-1", "key-2", "key-2")

	file := filepath.Join(t.TempDir(), "cache.jsonl")
	proxy := faultproxy.Start(t, server.Addr)
	arguments := []string{"export", "--store", proxy.URL(), "--namespace", "old", "--output", file}
	hasBegun := func(bytes int64) func() bool {
		return func() bool {
			info, err := os.Stat(file)
			return err == nil && info.Size() > bytes
		}
	}
	kill(t, proxy, os.Kill, hasBegun(500_000), arguments...)
	if code, _, stderr := runCommand(t, arguments...); code != 2 || !strings.Contains(stderr, "--resume continues it") {
		t.Errorf("without --resume: %d, %s", code, stderr)
	}
	code, stderr := kill(t, proxy, os.Interrupt, hasBegun(2_000_000), append(arguments, "--resume")...)
	if code != 1 || !strings.Contains(stderr, "interrupted: ") || !strings.Contains(stderr, "repeat the command with --resume") ||
		!strings.Contains(stderr, fmt.Sprintf(" of %d entries", entries)) {
		t.Errorf("interrupted: %d, %s", code, stderr)
	}
	if strings.Contains(stderr, "Redis does not answer") {
		t.Errorf("it is Redis that is blamed: %s", stderr)
	}
	if written, err := os.ReadFile(file); err != nil || !bytes.HasSuffix(written, []byte("}\n")) {
		t.Errorf("an interrupted export leaves a part of a line (%v)", err)
	}
	_, progress := succeed(t, append(arguments, "--resume")...)
	if want := fmt.Sprintf("exported %d of %d entries", entries, entries); !strings.Contains(progress, want) {
		t.Errorf("progress: %s", progress)
	}
	succeed(t, append(arguments, "--resume")...) // changes nothing any more

	restored := openNamespace(t, server, "new")
	arguments = []string{"import", "--store", proxy.URL(), "--namespace", "new", "--input", file}
	kill(t, proxy, os.Kill, func() bool {
		return restored.size().Keys >= 500
	}, arguments...)
	_, progress = succeed(t, arguments...)
	if !strings.Contains(progress, "were there already") {
		t.Errorf("progress: %s", progress)
	}
	if got, want := restored.entries(), old.entries(); !slices.Equal(got, want) {
		t.Errorf("%d entries are there, or others than the %d", len(got), len(want))
	}
}

func TestAnExportIsNotContinuedFromACacheThatWasFilledAnew(t *testing.T) {
	server := redistest.Start(t)
	n := openNamespace(t, server, "cache")
	n.apply(hundred, createOf("a", "1", store.String, ""), createOf("b", "2", store.String, ""))
	whole, _ := succeed(t, "export", "--store", server.URL())
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	if err := os.WriteFile(file, []byte(whole[:strings.Index(whole, `{"end"`)]), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Client().FlushAll(t.Context())
	for _, key := range []string{"c", "d", "e", "f"} { // further than the write number was
		n.apply(hundred, createOf(key, "new", store.String, ""))
	}
	code, _, stderr := runCommand(t, "export", "--store", server.URL(), "--output", file, "--resume")
	if code != 2 || !strings.Contains(stderr, "the file was begun with another state of the store; begin a new one") {
		t.Errorf("%d, %s", code, stderr)
	}
}

// kill starts a command, and sends it a signal as soon as it has done something.
// From then on the proxy holds up what the command asks of Redis: it must not
// end before.
func kill(t *testing.T, proxy *faultproxy.Proxy, signal os.Signal, hasDone func() bool, args ...string) (code int, errors string) {
	t.Helper()
	release := make(chan struct{})
	defer close(release)
	proxy.Rule(func() (f faultproxy.Fault) {
		if hasDone() {
			f.Hold = release
		}
		return f
	})
	defer proxy.Rule(nil)
	cmd, _, stderr := command(t, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !hasDone() {
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("%v ended before it was killed: %s", args, stderr)
		case <-deadline:
			t.Fatalf("%v did nothing: %s", args, stderr)
		}
	}
	_ = cmd.Process.Signal(signal)
	<-ended
	if cmd.ProcessState.Success() {
		t.Fatalf("%v ended before it got the signal", args)
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

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

func TestOfTheOriginalThoseRemainThatWouldHaveStayedLongest(t *testing.T) {
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
	server.Client().HSet(t.Context(), "LRU-STORE", "k", "v", strings.Repeat("k", mostKeySize), "too long with it")
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
	write(file, `{"redis_proxy_export":1,"namespace":"n","eviction":"rank","max_keys":9}`+"\n"+`{"key":"f","value":1}`+"\n"+`{"end":true,"entries":1}`+"\n")
	succeed(t, "import", "--config", config, "--input", file, "--key-prefix", "a.test/")
	if got := keys("tenants"); !strings.HasPrefix(got, "a.test/f a.test/k k kkk") {
		t.Errorf("%.40s", got)
	}
	code, _, stderr = runCommand(t, "import", "--config", config, "--input", file, "--key-prefix", "../")
	if code != 2 || !strings.Contains(stderr, "line 2: the key has a . or .. segment") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestWhatCommandsRefuse(t *testing.T) {
	server := redistest.Start(t)
	n := openNamespace(t, server, "cache")
	n.apply(hundred, createOf("k", "v", store.String, ""))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	site := func(settings string) string { return ":0 {\n\tredis_proxy {\n\t\t" + settings + "\n\t}\n}\n" }
	embedded := write("embedded.Caddyfile", site("max_keys 1"))
	several := write("several.Caddyfile", site("store redis://user:secret@one/1")+strings.ReplaceAll(site("store redis://two\n\t\tnamespace b"), ":0", ":1"))
	none := write("none.Caddyfile", ":0 {\n\trespond hello\n}\n")
	const header = `{"redis_proxy_export":1,"namespace":"cache","eviction":"rank","max_keys":10,"keys":2}` + "\n"
	const first = `{"key":"new","type":"string","value":"v","rank":1,"age":2}` + "\n"
	const end = `{"end":true,"entries":2}` + "\n"
	files := 0
	bad := func(line string) []string {
		files++
		return []string{"import", "--store", server.URL(), "--input", write(fmt.Sprint(files, ".jsonl"), header+first+line+"\n"+end)}
	}
	t.Setenv("REDIS_URL", "redis://user:secret@127.0.0.1:1")

	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no such command", []string{"exprt"}, 2, `there is no command 'exprt'; did you mean export?`},
		{"no such flag of both", []string{"--foo"}, 2, "there is no flag '--foo'; --help lists them"},
		{"no such flag", []string{"export", "--foo"}, 2, "there is no flag '--foo'; --help lists them"},
		{"an argument", []string{"export", "cache"}, 2, `it takes no argument 'cache'; put values behind flags, such as --store`},
		{"a URL as an argument", []string{"export", "redis://:secret@h"}, 2, "it takes no argument like that; put values behind flags"},
		{"a URL as a command", []string{"redis://:secret@h"}, 2, "there is no command like that; known: export, import"},
		{"a flag that is nearly one", []string{"export", "--stroe=redis://:secret@h"}, 2, "there is no flag '--stroe'; did you mean --store?"},
		{"a flag with one hyphen", []string{"export", "-xredis://:secret@h"}, 2, "there is no flag '-x'; --help lists them"},
		{"a flag of another kind", []string{"export", "--resume=secret"}, 2, "--resume: its value is of another kind; write bool"},
		{"a flag without its value", []string{"export", "--store"}, 2, "--store: the value is missing"},
		{"keys that are no number", []string{"import", "--store", server.URL(), "--max-keys", "10k"}, 2, "--max-keys: '10k' is no whole number; write one such as 10000"},
		{"nothing to go by", []string{"export"}, 2, "give --config, or --store and --namespace"},
		{"both", []string{"export", "--store", "redis://h", "--config", embedded}, 2, "--config and --store both say"},
		{"an embedded store", []string{"export", "--config", embedded}, 2, "the entries of an embedded store are in the memory of the running Caddy"},
		{"an embedded store by name", []string{"export", "--store", "embedded"}, 2, "the entries of an embedded store"},
		{"several namespaces", []string{"export", "--config", several}, 2, "(b in tcp:two:6379/0, cache in tcp:one:6379/1): choose with --namespace"},
		{"none of them", []string{"export", "--config", several, "--namespace", "c"}, 2, `has no redis_proxy with the namespace \"c\"`},
		{"no handler", []string{"export", "--config", none}, 2, "the configuration has no redis_proxy"},
		{"no configuration", []string{"export", "--config", dir + "/nothing"}, 2, "no such file"},
		{"not a URL", []string{"export", "--store", "http://user:secret@h"}, 2, "unknown scheme"},
		{"a variable that is not set", []string{"export", "--store", "{env.NO_SUCH_URL}"}, 2, "{env.NO_SUCH_URL} is empty"},
		{"a namespace that is none", []string{"export", "--store", server.URL(), "--namespace", "a b"}, 2, "write 1 to 64"},
		{"a namespace without anything", []string{"export", "--store", server.URL(), "--namespace", "typo"}, 2, `this Redis has no namespace \"typo\"`},
		{"no Redis", []string{"export", "--store", "{env.REDIS_URL}"}, 1, "connection refused"},
		{"a URL that would be cut off", []string{"export", "--store", "redis://:p@ss#secret@h"}, 2, "--store: a # would cut the URL off"},
		{"one of the original", []string{"import", "--original", "--store", server.URL(), "--from", "redis://:p@ss/secret@h"}, 2, "--from: an @ may stand once"},
		{"a password with braces", []string{"export", "--store", "redis://:a{secret}@h"}, 2, "--store: there are braces around something that is no placeholder"},
		{"a port that there cannot be", []string{"export", "--store", "redis://h:99999"}, 2, "the port must be"},
		{"a database that there cannot be", []string{"export", "--store", "redis://h/-1"}, 2, "must be a number that is not negative"},
		{"a database that there is not", []string{"export", "--store", server.URL()[:len(server.URL())-1] + "9999"}, 2, "DB index is out of range"},
		{"an original in a database that there is not", []string{"import", "--original", "--store", server.URL(), "--from", server.URL()[:len(server.URL())-1] + "9999"}, 2, "DB index is out of range"},
		{"a full device", []string{"export", "--store", server.URL(), "--output", "/dev/full"}, 1, "no space left on device"},
		{"to resume a device", []string{"export", "--store", server.URL(), "--output", "/dev/full", "--resume"}, 2, "--resume needs a file, which /dev/full is not"},
		{"a directory to write", []string{"export", "--store", server.URL(), "--output", dir}, 2, "is a directory"},
		{"a directory to read", []string{"import", "--store", server.URL(), "--input", dir}, 2, "is a directory"},
		{"to resume nothing", []string{"export", "--store", server.URL(), "--resume"}, 2, "--resume needs --output"},
		{"a directory that is not there", []string{"export", "--store", server.URL(), "--output", dir + "/no/file"}, 2, "no such file"},

		{"no file", []string{"import", "--store", server.URL(), "--input", dir + "/nothing"}, 2, "no such file"},
		{"an empty file", []string{"import", "--store", server.URL(), "--input", write("empty", "")}, 2, "line 1: the file is empty, or was cut off in its first line"},
		{"a compressed file", []string{"import", "--store", server.URL(), "--input", write("gzip", "\x1f\x8b\x08")}, 2, "line 1: the file is not an export: it is compressed with gzip; decompress it first"},
		{"a snapshot of Redis", []string{"import", "--store", server.URL(), "--input", write("rdb", "REDIS0011\xfa")}, 2, "line 1: the file is not an export: it is a snapshot of Redis (RDB)"},
		{"a byte order mark", []string{"import", "--store", server.URL(), "--input", write("mark", "\ufeff"+header+first+first+end)}, 2, "line 1: the file is not an export: it begins with a byte order mark"},
		{"another file to go on with", []string{"export", "--store", server.URL(), "--resume", "--output", write("notes", "milk, eggs")}, 2, "line 1: the file is not an export: expected"},
		{"another file", []string{"import", "--store", server.URL(), "--input", none}, 2, "line 1: the file is not an export"},
		{"a later version", []string{"import", "--store", server.URL(), "--input", write("later", `{"redis_proxy_export":2}`+"\n")}, 2, "line 1: the file has version 2"},
		{"cut off", []string{"import", "--store", server.URL(), "--input", write("cut", header+first+`{"key":"b"`)}, 2, "the export was cut off before its end"},
		{"lines that are missing", []string{"import", "--store", server.URL(), "--input", write("less", header+first+end)}, 2, "line 3: the export had 2 entries, and 1 are there"},
		{"lines behind the end", []string{"import", "--store", server.URL(), "--input", write("more", header+first+first+end+first)}, 2, "line 5: there is something behind"},
		{"no JSON", bad("{"), 2, "line 3: "},
		{"no key", bad(`{"value":1}`), 2, "line 3: there is no key"},
		{"no value", bad(`{"key":"b"}`), 2, "line 3: there must be value or base64"},
		{"an unknown field", bad(`{"key":"b","value":1,"ttl":3}`), 2, `line 3: json: unknown field \"ttl\"`},
		{"a field twice", bad(`{"key":"b","value":1,"value":2}`), 2, "line 3: the field value is there twice"},
		{"a field in another case", bad(`{"key":"b","Value":1}`), 2, `line 3: unknown field \"Value\"`},
		{"half of a surrogate pair in a key", bad(`{"key":"\ud800","value":1}`), 2, "line 3: a string has half of a surrogate pair"},
		{"half of one in a value", bad(`{"key":"b","value":"\ud83d\\\ud83d\u0041"}`), 2, "line 3: a string has half of a surrogate pair"},
		{"the halves in the wrong order", bad(`{"key":"b","value":"\ude00\ud83d"}`), 2, "line 3: a string has half of a surrogate pair"},
		{"not UTF-8", bad("{\"key\":\"b\",\"value\":\"\xff\"}"), 2, "line 3: it is not valid UTF-8"},
		{"a content type of what is not raw", bad(`{"key":"b","value":1,"content_type":"image/png"}`), 2, "line 3: content_type is for raw values"},
		{"a content type that is none", bad(`{"key":"b","base64":"","content_type":"a\nb"}`), 2, "line 3: content_type has a control character"},
		{"a long content type", bad(`{"key":"b","base64":"","content_type":"` + strings.Repeat("x", 256) + `"}`), 2, "line 3: content_type has 256 bytes; at most 255 are allowed"},
		{"an entry that is the end", bad(`{"key":"b","value":1,"end":true}`), 2, "line 3: an entry has neither after nor end"},
		{"a header with a field twice", []string{"import", "--store", server.URL(), "--input", write("twice", `{"redis_proxy_export":1,"keys":1,"keys":2}`+"\n")}, 2, "line 1: the field keys is there twice"},
		{"a header with limits below zero", []string{"import", "--store", server.URL(), "--input", write("below", `{"redis_proxy_export":1,"max_bytes":-1}`+"\n")}, 2, "line 1: max_keys and max_bytes must not be negative"},
		{"a value of another type", bad(`{"key":"b","value":1,"type":"string"}`), 2, "line 3: a value of the type string is a JSON string, or in base64"},
		{"an unknown type", bad(`{"key":"b","base64":"","type":"text"}`), 2, `line 3: unknown type \"text\"`},
		{"a key that no request can name", bad(`{"key":"a/../b","value":1}`), 2, "line 3: the key has a . or .. segment"},
		{"a policy that nobody knows", []string{"import", "--store", server.URL(), "--eviction", "fifo", "--input", none}, 2, `there is no policy \"fifo\"; write one of`},
		{"no keys at all", []string{"import", "--store", server.URL(), "--max-keys", "0", "--input", none}, 2, "--max-keys: must be greater than 0"},
		{"limits beside a configuration", []string{"import", "--config", several, "--namespace", "b", "--max-bytes", "0"}, 2, "are for --store"},
		{"two sources", []string{"import", "--store", server.URL(), "--original", "--input", none}, 2, "give one of both"},
		{"a part of no file", []string{"import", "--store", server.URL(), "--original", "--partial"}, 2, "give one of both"},
		{"no original", []string{"import", "--store", server.URL(), "--original"}, 2, "there is no LRU-STORE in this database"},
		{"no Redis to write to", []string{"import", "--store", "{env.REDIS_URL}", "--input", write("whole", header+first+first+end)}, 1, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := runCommand(t, c.args...)
			if code != c.code || !strings.Contains(stderr, c.want) && !strings.Contains(stderr, strings.ReplaceAll(c.want, `\"`, `"`)) {
				t.Errorf("exit code %d, want %d with %s; got\n%s", code, c.code, c.want, stderr)
			}
			if strings.Contains(stdout+stderr, "secret") {
				t.Errorf("a password is shown: %s", stderr)
			}
		})
	}
	if got := n.entries(); len(got) != 1 {
		t.Errorf("something was changed: %v", got)
	}
	t.Run("what is there of a file", func(t *testing.T) {
		_, progress := succeed(t, "import", "--store", server.URL(), "--input", filepath.Join(dir, "cut"), "--partial")
		if !strings.Contains(progress, "imported 1 of 1 entries: 1 restored") {
			t.Error(progress)
		}
	})
}

func TestAnExportToWhateverTheStandardOutputIs(t *testing.T) {
	server := redistest.Start(t)
	openNamespace(t, server, "cache").apply(hundred, createOf("k", "v", store.String, ""))
	arguments := []string{"export", "--store", server.URL(), "--output", "/dev/stdout"}
	piped, progress := succeed(t, arguments...)
	if !strings.HasSuffix(piped, `{"end":true,"entries":1}`+"\n") || strings.Contains(progress, "--resume") {
		t.Errorf("to a pipe: %s%s", piped, progress)
	}
	cmd, _, stderr := command(t, arguments...)
	file, err := os.Create(filepath.Join(t.TempDir(), "cache.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout = file
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	if got, err := os.ReadFile(file.Name()); err != nil || string(got) != piped {
		t.Errorf("to a file: %s, %v", got, err)
	}
}

func TestHelpSaysWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"export", "import"}},
		{nil, []string{"export", "import"}},
		{[]string{"export", "--help"}, []string{"--config", "--store", "--namespace", "--output", "--resume", "--quiet", "Exit codes: 0"}},
		{[]string{"import", "--help"}, []string{"--input", "--original", "--from", "--partial", "--max-keys", "Exit codes: 0"}},
	} {
		stdout, _ := succeed(t, c.args...)
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v does not say %s:\n%s", c.args, want, stdout)
			}
		}
	}
}

func TestTheFileInTheDocumentationIsOne(t *testing.T) {
	page, err := os.ReadFile("docs/export.md")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(string(page), "```json\n")
	file, _, _ = strings.Cut(file, "```")
	server := redistest.Start(t)
	cmd, _, stderr := command(t, "import", "--store", server.URL())
	cmd.Stdin = strings.NewReader(file)
	if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), "imported 3 of 3 entries: 3 restored\n") {
		t.Fatalf("%v: %s", err, stderr)
	}
	exported, _ := succeed(t, "export", "--store", server.URL())
	entries := func(file string) []string { return strings.Split(file, "\n")[1:] }
	age := regexp.MustCompile(`"age":\d+`)
	if got, want := age.ReplaceAllString(exported, ""), age.ReplaceAllString(file, ""); !slices.Equal(entries(got), entries(want)) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	names := regexp.MustCompile(`"\w+":`)
	first := func(file string) []string {
		line, _, _ := strings.Cut(file, "\n")
		return names.FindAllString(line, -1)
	}
	if got, want := first(exported), first(file); !slices.Equal(got, want) {
		t.Errorf("the first line has %v, in the documentation %v", got, want)
	}
}

func TestUnderEveryPolicyTheOrderIsRestored(t *testing.T) {
	server := redistest.Start(t)
	for _, p := range store.Policies {
		t.Run(p.Name, func(t *testing.T) {
			limits := store.Limits{MaxKeys: 40, Eviction: p.Name}
			old := openNamespace(t, server, p.Name)
			for i := range 60 {
				old.apply(limits, createOf(fmt.Sprint("k", i), fmt.Sprint(i), store.JSON, ""))
				old.fetch(fmt.Sprint("k", i/2), fmt.Sprint("k", i/3*2))
			}
			cmd, exported, stderr := command(t, "export", "--store", server.URL(), "--namespace", p.Name)
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			cmd, _, stderr = command(t, "import", "--store", server.URL(), "--namespace", p.Name+"-restored")
			cmd.Stdin = exported
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			restored := openNamespace(t, server, p.Name+"-restored")
			if got, want := restored.entries(), old.entries(); len(want) != 40 || !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := restored.size().Limits; got != limits {
				t.Errorf("limits %+v", got)
			}
		})
	}
}

func TestAnExportThatCannotBeFinishedIsNoMistakeOfTheUser(t *testing.T) {
	for err, want := range map[error]int{dump.ErrReplaced: 1, dump.ErrOther: 2} {
		if got := exitCode(fmt.Errorf("exporting: %w", err)); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}
