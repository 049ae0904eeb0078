package command_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

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

func TestAnInvalidContentTypeIsNotExported(t *testing.T) {
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
	const entries = 2500 // several pages
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
	code, stderr := kill(t, proxy, os.Interrupt, hasBegun(1_200_000), append(arguments, "--resume")...)
	const isResumable = `"interrupted; \S+/cache.jsonl is incomplete, with [1-9]\d+ of 2500 entries; import refuses it without --partial; repeat the command with --resume to go on"`
	if code != 1 || !regexp.MustCompile(isResumable).MatchString(stderr) {
		t.Errorf("interrupted: %d, %s", code, stderr)
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
	code, stderr = kill(t, proxy, syscall.SIGTERM, func() bool {
		return restored.size().Keys >= 1500
	}, arguments...)
	const isRepeatable = `"interrupted; imported [1-9]\d+ of 2500 entries: [1-9]\d+ restored, [1-9]\d+ were there already; restored entries stay; repeat the command to go on"`
	if code != 1 || !regexp.MustCompile(isRepeatable).MatchString(stderr) {
		t.Errorf("interrupted: %d, %s", code, stderr)
	}
	_, progress = succeed(t, arguments...)
	if !strings.Contains(progress, "were there already") {
		t.Errorf("progress: %s", progress)
	}
	if got, want := restored.entries(), old.entries(); !slices.Equal(got, want) {
		t.Errorf("%d entries are there, or others than the %d", len(got), len(want))
	}
}

// Whatever a command waits for, an interrupt ends it, and it says what there is now.
func TestAnInterruptedCommandSaysWhatItLeaves(t *testing.T) {
	server := redistest.Start(t)
	var writes []store.Write
	for i := range 1000 {
		writes = append(writes, createOf(fmt.Sprintf("key-%d", i), "v", store.String, ""))
	}
	openNamespace(t, server, "cache").apply(store.Limits{MaxKeys: 1000, Eviction: "rank"}, writes...)
	whole, _ := succeed(t, "export", "--store", server.URL())
	proxy := faultproxy.Start(t, server.Addr)
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	output, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	hasOutput := func() bool {
		info, err := output.Stat()
		return err == nil && info.Size() > 0
	}
	const before = "interrupted before this run wrote any entry"

	t.Run("an export to the standard output", func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		proxy.Rule(func() (f faultproxy.Fault) {
			if hasOutput() {
				f.Hold = release
			}
			return f
		})
		defer proxy.Rule(nil)
		cmd, _, stderr := command(t, "export", "--store", proxy.URL(), "--quiet")
		cmd.Stdout = output
		code := interrupt(t, cmd, syscall.SIGTERM, hasOutput)
		const want = `"interrupted; the output is incomplete, with [1-9]\d* of 1000 entries; import refuses it without --partial; only a file that --output names can be continued"`
		if code != 1 || !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("%d, %s", code, stderr)
		}
		if code, _, stderr := runCommand(t, "import", "--store", server.URL(), "--namespace", "new", "--input", file); code != 2 || !strings.Contains(stderr, "the export was cut off before its end") {
			t.Errorf("an import of it: %d, %s", code, stderr)
		}
	})
	for name, arguments := range map[string][]string{
		"an export that waits for Redis": {"export", "--store", proxy.URL()},
		"an import that waits for Redis": {"import", "--store", proxy.URL(), "--namespace", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			var isAsked atomic.Bool
			proxy.Rule(func() faultproxy.Fault {
				isAsked.Store(true)
				return faultproxy.Fault{Hold: release}
			})
			defer proxy.Rule(nil)
			cmd, stdout, stderr := command(t, arguments...)
			cmd.Stdin = strings.NewReader(whole)
			if code := interrupt(t, cmd, os.Interrupt, isAsked.Load); code != 1 || !strings.Contains(stderr.String(), before) || stdout.Len() > 0 {
				t.Errorf("%d, %s%s", code, stdout, stderr)
			}
		})
	}
	t.Run("an import whose last call may have been carried out", func(t *testing.T) {
		half := openNamespace(t, server, "half")
		release := make(chan struct{})
		defer close(release)
		proxy.Rule(func() (f faultproxy.Fault) {
			if half.size().Keys > 0 {
				f.HoldReply = release
			}
			return f
		})
		defer proxy.Rule(nil)
		cmd, _, stderr := command(t, "import", "--store", proxy.URL(), "--namespace", "half", "--quiet")
		cmd.Stdin = strings.NewReader(whole)
		code := interrupt(t, cmd, os.Interrupt, func() bool { return half.size().Keys == 1000 })
		const want = `"interrupted; imported 500 of 1000 entries: 500 restored; more may be restored, by a call to Redis that had no answer; restored entries stay; repeat the command to go on"`
		if code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%d, %s", code, stderr)
		}
	})
	t.Run("an import that waits for its input", func(t *testing.T) {
		cmd, _, stderr := command(t, "import", "--store", server.URL(), "--namespace", "new")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		cmd.Stdin = r
		// More than a pipe holds: the command has begun to read.
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			_, _ = w.WriteString(strings.Repeat(" ", 1<<20))
		}()
		hasRead := func() bool {
			select {
			case <-begun:
				return true
			default:
				return false
			}
		}
		if code := interrupt(t, cmd, os.Interrupt, hasRead); code != 1 || !strings.Contains(stderr.String(), before) {
			t.Errorf("%d, %s", code, stderr)
		}
	})
	if size := openNamespace(t, server, "new").size(); size.Keys > 0 {
		t.Errorf("%d entries were imported", size.Keys)
	}
}

// A stopped process of Redis is such a server: its kernel accepts for it.
func TestAnInterruptDoesNotWaitForAServerThatAcceptsAndStaysSilent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var isAsked atomic.Bool
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// It reads until the command ends.
			go func() {
				defer conn.Close()
				if n, _ := conn.Read(make([]byte, 1)); n > 0 {
					isAsked.Store(true)
				}
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	url := "redis://" + listener.Addr().String()
	server := redistest.Start(t)
	openNamespace(t, server, "cache").apply(hundred, createOf("a", "1", store.String, ""))
	file := filepath.Join(t.TempDir(), "cache.jsonl")
	succeed(t, "export", "--store", server.URL(), "--output", file)
	for name, arguments := range map[string][]string{
		"export":                 {"export", "--store", url},
		"import":                 {"import", "--store", url, "--input", file},
		"import of the original": {"import", "--original", "--store", url},
	} {
		t.Run(name, func(t *testing.T) {
			isAsked.Store(false)
			cmd, _, stderr := command(t, arguments...)
			code := interrupt(t, cmd, os.Interrupt, isAsked.Load)
			if code != 1 || !strings.Contains(stderr.String(), `"interrupted before this run wrote any entry"`) {
				t.Errorf("%d, %s", code, stderr)
			}
		})
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

// kill starts a command, and sends it a signal as soon as it has done something. From then on
// the proxy delays the command's calls to Redis, so the command cannot end earlier.
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
	return interrupt(t, cmd, signal, hasDone), stderr.String()
}

// interrupt starts a command, and sends it a signal as soon as it has done something. It returns
// the exit code.
func interrupt(t *testing.T, cmd *exec.Cmd, signal os.Signal, hasDone func() bool) int {
	t.Helper()
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
			t.Fatalf("%v ended before it was killed: %s", cmd.Args, cmd.Stderr)
		case <-deadline:
			t.Fatalf("%v did nothing: %s", cmd.Args, cmd.Stderr)
		}
	}
	_ = cmd.Process.Signal(signal)
	<-ended
	if cmd.ProcessState.Success() {
		t.Fatalf("%v ended before it got the signal", cmd.Args)
	}
	return cmd.ProcessState.ExitCode()
}

func TestAnExportToAnyKindOfStandardOutput(t *testing.T) {
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

func TestTheFileInTheDocumentationIsOne(t *testing.T) {
	page, err := os.ReadFile("../../docs/export.md")
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

func TestCommandsUseTheCredentialsOfTheConfiguration(t *testing.T) {
	server := redistest.Start(t)
	const password = "app#1/é@{s3cret}?%" // would have to be escaped in a URL
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "app", "on", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	openNamespace(t, server, "cache").apply(hundred, createOf("k", "v", store.String, ""))
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "default", "off").Err(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_PASSWORD", password)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	write := func(user string) {
		text := ":0 {\n\tredis_proxy {\n\t\tstore " + server.URL() + "\n\t\tredis_username " + user + "\n\t\tredis_password {env.APP_PASSWORD}\n\t}\n}\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("app")
	exported, _ := succeed(t, "export", "--config", config)
	if !strings.Contains(exported, `"key":"k"`) {
		t.Error(exported)
	}
	write("nobody")
	code, _, stderr := runCommand(t, "export", "--config", config)
	if code != 1 || !strings.Contains(stderr, "WRONGPASS") || strings.Contains(stderr, "s3cret") {
		t.Errorf("%d, %s", code, stderr)
	}
}
