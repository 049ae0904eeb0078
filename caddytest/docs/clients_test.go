package docs

import (
	"bufio"
	"fmt"
	"go/format"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// clientsPage is the page with clients in several languages. pageURL is their cache.
const (
	clientsPage = "docs/clients.md"
	pageURL     = "http://localhost:8080/cache"
)

// language runs the files of one language on clientsPage.
type language struct {
	name   string // of its blocks
	ends   string // how the names of its files end
	folder string // for the files that are no programs
	short  string // the timeout of cache-aside, which is too short for a busy machine
	long   string
	quiet  string // how long a watch waits for a silent cache, which is too long for a test too
	brief  string
	most   string // the longest wait after a 503, which is too long for a test
	// build returns the command that runs a program among the files in dir.
	build func(t *testing.T, dir string) func(program string) []string
}

var languages = []language{
	{"python", ".py", "", "timeout=1)", "timeout=300)", "timeout=(5, 40)", "timeout=(300, 2)", "(text), 0.1), 30)", func(t *testing.T, _ string) func(string) []string {
		python := pythonWithRequests(t)
		return func(program string) []string { return []string{python, program + ".py"} }
	}},
	{"js", ".mjs", "", "timeout: 1 }", "timeout: 300 }", "40_000", "2_000", "(text), 0.1), 30)", func(t *testing.T, _ string) func(string) []string {
		node := nodeJS(t)
		return func(program string) []string { return []string{node, program + ".mjs"} }
	}},
	{"go", ".go", "cache", "(ctx, time.Second)", "(ctx, 5*time.Minute)", "40 * time.Second", "2 * time.Second", "(seconds), 0.1), 30)", func(t *testing.T, dir string) func(string) []string {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/client\n\ngo 1.23\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"driver", "example"} {
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, program+".go")
			build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off", "GOPROXY=off", "GOFLAGS=")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		return func(program string) []string { return []string{"./" + program} }
	}},
}

// pythonWithRequests returns a Python that can import requests. It need not be the first one
// on PATH.
func pythonWithRequests(t *testing.T) string {
	t.Helper()
	candidates := []string{"python3", "/usr/bin/python3"}
	for _, python := range candidates {
		out, err := exec.CommandContext(t.Context(), python, "-c", "import sys, requests; print(sys.executable)").Output()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	t.Fatalf("none of %v can import requests; install python3 and python3-requests", candidates)
	return ""
}

func nodeJS(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "nodejs"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no node on PATH; install nodejs, version 18 or newer")
	return ""
}

// clientOf writes the files of a language, for the cache at url, with the program that calls
// their functions. Of pairs of replacements, each first one must be there once.
func clientOf(t *testing.T, l language, url string, replacements ...string) *client {
	t.Helper()
	dir := t.TempDir()
	write := func(file, text string) {
		t.Helper()
		if file != "driver"+l.ends && file != "example"+l.ends {
			file = filepath.Join(l.folder, file)
		}
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replacements = append(replacements, pageURL, url)
	replacer, counts := strings.NewReplacer(replacements...), make([]int, len(replacements))
	for _, b := range pageBlocks(t, clientsPage) {
		if b.language != l.name {
			continue
		}
		if b.file == "" {
			t.Fatalf("%s, line %d: the block has no file", clientsPage, b.line)
		}
		text := b.text()
		if l.name == "go" {
			formatted, err := format.Source([]byte(text))
			if err != nil || string(formatted) != text {
				t.Errorf("%s, line %d: not as gofmt writes it: %v", clientsPage, b.line, err)
			}
		}
		for i := 0; i < len(replacements); i += 2 {
			counts[i] += strings.Count(text, replacements[i])
		}
		write(b.file, replacer.Replace(text))
	}
	for i := 0; i < len(replacements); i += 2 {
		want := 1
		if replacements[i] == l.short { // it reads and writes
			want = 2
		}
		if counts[i] != want {
			t.Fatalf("the files have %q %d times, want %d times", replacements[i], counts[i], want)
		}
	}
	driver, err := os.ReadFile("testdata/clients/driver" + l.ends)
	if err != nil {
		t.Fatal(err)
	}
	write("driver"+l.ends, string(driver))
	return &client{dir: dir, command: l.build(t, dir)}
}

// client calls functions of a page.
type client struct {
	dir     string
	command func(program string) []string
}

// call is a running call of a function.
type call struct {
	t     *testing.T
	what  string
	input io.WriteCloser
	lines chan string
	end   func()
}

// start calls a function. The call ends with the test, if not before.
func (c *client) start(t *testing.T, args ...string) *call {
	t.Helper()
	return c.startProgram(t, "driver", args...)
}

func (c *client) startProgram(t *testing.T, program string, args ...string) *call {
	t.Helper()
	command := append(c.command(program), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "no_proxy=*", "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &call{t: t, what: strings.Join(command, " "), input: input, lines: make(chan string, 100)}
	go func() {
		defer close(r.lines)
		from := bufio.NewScanner(output)
		from.Buffer(nil, 1<<20)
		for from.Scan() {
			r.lines <- strings.TrimSpace(from.Text())
		}
	}()
	r.end = func() {
		_ = cmd.Process.Kill()
		for range r.lines { // the pipe must be read before Wait
		}
		_ = cmd.Wait()
	}
	t.Cleanup(r.end)
	return r
}

// next returns the next line that a call prints.
func (r *call) next() (line string, ok bool) {
	r.t.Helper()
	select {
	case line, ok = <-r.lines:
		return line, ok
	case <-time.After(patience):
		r.t.Fatalf("%s: waited %s for a line", r.what, patience)
		return "", false
	}
}

// prints checks the next lines that a call prints.
func (r *call) prints(want ...string) {
	r.t.Helper()
	for _, line := range want {
		if got, ok := r.next(); !ok || got != line {
			r.t.Fatalf("%s: printed %q, want %q", r.what, got, line)
		}
	}
}

func (r *call) writes(line string) {
	r.t.Helper()
	if _, err := fmt.Fprintln(r.input, line); err != nil {
		r.t.Fatal(err)
	}
}

// all sends input to a call, waits for its end, and returns all that it prints.
func (c *client) all(t *testing.T, input string, args ...string) (lines []string) {
	t.Helper()
	r := c.start(t, args...)
	if _, err := io.WriteString(r.input, input); err != nil {
		t.Fatal(err)
	}
	r.input.Close()
	for {
		line, ok := r.next()
		if !ok {
			return lines
		}
		lines = append(lines, line)
	}
}

// expect checks what a call prints.
func (c *client) expect(t *testing.T, want []string, args ...string) {
	t.Helper()
	if got := c.all(t, "", args...); !slices.Equal(got, want) {
		t.Errorf("%v: printed %q, want %q", args, got, want)
	}
}

// fails checks that a call fails with a reason.
func (c *client) fails(t *testing.T, reason string, args ...string) {
	t.Helper()
	got := strings.Join(c.all(t, "", args...), " ")
	if _, failure, ok := strings.Cut(got, "failed: "); !ok || !strings.Contains(failure, reason) {
		t.Errorf("%v: printed %q, want a failure with %q", args, got, reason)
	}
}

// TestClientsOnThePage calls the functions of clientsPage, for a real cache and for one that
// fails.
func TestClientsOnThePage(t *testing.T) {
	for _, page := range pages(t) {
		for _, b := range pageBlocks(t, page) {
			if page != clientsPage && slices.ContainsFunc(languages, func(l language) bool { return l.name == b.language }) {
				t.Errorf("%s, line %d: nobody runs %s there", page, b.line, b.language)
			}
		}
	}
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			t.Run("a cache", func(t *testing.T) { useCache(t, l) })
			t.Run("a cache that fails", func(t *testing.T) { useFailingCache(t, l) })
		})
	}
}

// clientsSite runs the site of clientsPage, with a Redis and little room for batch reads.
func clientsSite(t *testing.T) (*site, *redistest.Server) {
	t.Helper()
	redis := redistest.Start(t)
	for _, b := range pageBlocks(t, clientsPage) {
		if b.file == "Caddyfile" {
			config := strings.Replace(b.text(), "redis_proxy {\n", "redis_proxy {\n\t\tstore "+redis.URL()+"\n\t\tmax_answer_bytes 1KiB\n\t\tredis_timeout 1m\n", 1)
			s := runSite(t, config)
			s.visit(t, visit{"the site", "GET " + pageURL + "/none", 404, absent})
			return s, redis
		}
	}
	t.Fatalf("%s has no Caddyfile", clientsPage)
	return nil, nil
}

func useCache(t *testing.T, l language) {
	s, redis := clientsSite(t)
	c := clientOf(t, l, s.ports.replace(pageURL), l.short, l.long)
	put := func(key, value string) {
		t.Helper()
		r, err := http.NewRequest("PUT", s.ports.replace(pageURL)+"/"+key, strings.NewReader(`{"value": `+value+`}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode >= 300 {
			t.Fatal(resp.Status)
		}
	}
	has := func(key string, want string) {
		t.Helper()
		s.visit(t, visit{key, "GET " + pageURL + "/" + key, 200, want})
	}

	c.startProgram(t, "example").prints("4158")
	has("price/42", `"value":4158`)
	if s.headers(t, "price/42").Get("Expires") == "" {
		t.Error("the price does not expire")
	}
	c.expect(t, []string{"computing", "[42]"}, "get_or_compute", "a/b", "[42]")
	c.expect(t, []string{"[42]"}, "get_or_compute", "a/b", "[43]")
	has("a/b", `{"key":"a/b","value":[42]}`)

	c.expect(t, []string{"true"}, "create", "c", "1", "3600")
	c.expect(t, []string{"true"}, "create", "c", "1") // the same value
	c.expect(t, []string{"false"}, "create", "c", "2")
	if expires := s.headers(t, "c").Get("Expires"); expires == "" {
		t.Error("the entry does not expire")
	}
	if expires := s.headers(t, "a/b").Get("Expires"); expires != "" {
		t.Error("the entry expires", expires)
	}

	// A key needs its escapes in paths, queries and prefixes.
	const odd = "a&b+c%41#é "
	listener := c.start(t, "watch", odd)
	listener.prints("reset")
	put(url.PathEscape("a&b+c"), "1")
	put(url.PathEscape("a&b+cA#é "), "1")
	c.expect(t, []string{"true"}, "create", odd, "1")
	listener.prints("created " + strings.TrimSpace(odd))
	listener.end()
	has(url.PathEscape(odd), `{"key":"`+odd+`","value":1}`)
	c.expect(t, []string{"1"}, "get_or_compute", odd, "2")
	c.expect(t, []string{odd + " 1"}, "get_many", "none", odd, "a")
	swapped := c.start(t, "update", odd)
	swapped.writes("")
	swapped.prints("changing 1", "2")
	c.expect(t, []string{"00 image/png None"}, "bytes", odd, "00", "image/png")
	has(url.PathEscape(odd), "\x00")

	// Somebody stored a value alone.
	raw := visit{"a raw value", "PUT " + pageURL + "/raw?raw" + asJSON + `{"name":"someone","stock":5}`, 201, ""}
	s.visit(t, raw)
	c.fails(t, "", "update", "raw")
	has("raw", `{"name":"someone","stock":5}`)

	// A write comes first, once and then always.
	swap := c.start(t, "update", "c")
	swap.prints("changing 1")
	put("c", "10")
	swap.writes("")
	swap.prints("changing 10")
	swap.writes("")
	swap.prints("11")
	has("c", `"value":11`)
	swap = c.start(t, "update", "c", "3600")
	swap.writes("")
	swap.prints("changing 11", "12")
	if expires := s.headers(t, "c").Get("Expires"); expires == "" {
		t.Error("after an update with a ttl, the entry does not expire")
	}
	swap = c.start(t, "update", "c")
	for n := range 10 {
		line, _ := swap.next()
		if !strings.HasPrefix(line, "changing ") {
			t.Fatalf("printed %q", line)
		}
		put("c", fmt.Sprint(100+n))
		swap.writes("")
	}
	if line, _ := swap.next(); !strings.HasPrefix(line, "failed:") || !strings.Contains(line, "10 times") {
		t.Errorf("printed %q", line)
	}
	has("c", `"value":109`)
	c.fails(t, "404", "update", "none")

	// More lines than a request has, and more values than an answer has.
	var lines strings.Builder
	var statuses, keys, found []string
	for n := range 1100 {
		fmt.Fprintf(&lines, `{"op": "create", "key": "k%04d", "value": "a value of some length, %d"}`+"\n", n, n)
		statuses = append(statuses, "201")
		if n < 110 {
			keys = append(keys, fmt.Sprintf("k%04d", n))
			found = append(found, fmt.Sprintf(`k%04d "a value of some length, %d"`, n, n))
		}
	}
	lines.WriteString(`{"op": "create", "key": "k0000", "value": 1}` + "\n" + `{"op": "get", "key": "none"}` + "\n" +
		`{"op": "put", "key": "null", "value": null}` + "\n")
	if got := c.all(t, lines.String(), "bulk"); !slices.Equal(got, append(statuses, "409", "404", "201")) {
		t.Errorf("bulk printed %q", got)
	}
	has("null", `"value":null`)

	// More answers than the cache holds for a client that reads none of them before it has
	// sent all.
	c.expect(t, []string{"00 text/plain None"}, "bytes", "large", "00", "text/plain")
	large := strings.Repeat("x", 200_000)
	got := c.all(t, strings.Repeat(`{"op": "get", "key": "large"}`+"\n", 1)+`{"op": "put", "key": "large", "value": "`+large+`"}`+"\n"+
		strings.Repeat(`{"op": "get", "key": "large"}`+"\n", 150)+strings.Repeat(`{"op": "put", "key": "large", "value": "`+large+`"}`+"\n", 100), "bulk")
	if want := slices.Repeat([]string{"200"}, 252); !slices.Equal(got, want) {
		t.Errorf("bulk printed %d lines: %.200q", len(got), got)
	}
	if got := c.all(t, `{"op": "put", "key": "empty", "base64": ""}`+"\n", "bulk"); !slices.Equal(got, []string{"201"}) {
		t.Errorf("bulk of no bytes printed %q", got)
	}
	c.expect(t, []string{"00ff0a image/png None"}, "bytes", "l", "00ff0a", "image/png")
	has("l", "\x00\xff\n")
	c.expect(t, append(found, "l 00ff0a"), append([]string{"get_many", "none", "l"}, keys...)...)

	// More bytes than a request line may have.
	var long []string
	for n := range 100 {
		key := fmt.Sprintf("%s%03d", strings.Repeat("/", 500), n)
		put(url.PathEscape(key), "1")
		long = append(long, key+" 1")
		keys[n] = key
	}
	c.expect(t, long, append([]string{"get_many"}, keys[:100]...)...)

	watch := c.start(t, "watch", "w/")
	watch.prints("reset")
	put("other", "1")
	put("w/a", "1")
	put("w/a", "2")
	watch.prints("created w/a", "replaced w/a")
	// A reload ends the stream. What happens until the client is back is not lost.
	s.reload(t)
	put("w/b", "1")
	watch.prints("created w/b")
	if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	put("w/c", "1")
	watch.prints("reset")

	redis.Kill()
	c.expect(t, []string{"computing", "7"}, "get_or_compute", "d", "7")
	c.fails(t, "503", "create", "d", "7")
}

// headers returns the headers of an entry.
func (s *site) headers(t *testing.T, key string) http.Header {
	t.Helper()
	resp, err := s.client.Head(s.ports.replace(pageURL) + "/" + key)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header
}

// reload loads the configuration of the site again, as it is.
func (s *site) reload(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), builtCaddy(t), "reload", "--force", "--config", filepath.Join(s.dir, "Caddyfile"),
		"--address", s.ports.replace("localhost:2029")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
