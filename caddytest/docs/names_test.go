package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	caddyCall  = regexp.MustCompile(`(?:^|[\s;&|(])(?:\./)?caddy ((?:redis-proxy )?[a-z][a-z-]*)([^|;&>\n]*)`)
	shortCall  = regexp.MustCompile(`^(export|import)( --.*)`)
	longFlag   = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
	makeCall   = regexp.MustCompile(`(?:^|[\s;&|(])make ([a-z-]+)`)
	benchCall  = regexp.MustCompile(`go (?:-C (\w+) )?test [^\n]*-bench '?([^' \n]+)'?(?: -\w+ \S+)*((?: \.[\w/]*)+)`)
	flagsCall  = regexp.MustCompile(`make ([a-z-]+) [^\n]*?FLAGS=('[^'\n]*'|"[^"\n]*"|\S+)`)
	goFlag     = regexp.MustCompile(`(?:^|\s)-([a-z]+)`)
	xcaddyCall = regexp.MustCompile(`xcaddy build (v[\d.]+)`)
)

// programs are the targets of make that take FLAGS, with the sources of the flags.
var programs = map[string]string{
	"bench": "bench", "bench-quick": "bench", "hitratio": "bench/hitratio", "screenshots": "caddytest/screenshots",
}

// code returns all code on a page: console blocks, even with needs=, text blocks, and code in
// sentences.
func code(t *testing.T, page string) []string {
	var found []string
	for _, b := range pageBlocks(t, page) {
		if b.language == "console" || b.language == "text" {
			found = append(found, strings.ReplaceAll(b.text(), "\\\n", " "))
		}
	}
	for _, span := range inlineCode.FindAllString(readPage(t, page), -1) {
		found = append(found, strings.Trim(span, "`"))
	}
	return found
}

// help returns the output of `caddy … --help`, or "" if there is no such command.
var help = func() func(t *testing.T, command string) string {
	var mu sync.Mutex
	known := make(map[string]string)
	return func(t *testing.T, command string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if text, ok := known[command]; ok {
			return text
		}
		out, err := exec.Command(builtCaddy(t), append(strings.Fields(command), "--help")...).CombinedOutput()
		text := string(out)
		if err != nil || !strings.Contains(text, "Usage:\n  caddy "+command) {
			text = ""
		}
		known[command] = text
		return text
	}
}()

func hasFlag(help, flag string) bool {
	return regexp.MustCompile(`(?m)^\s+(-\w, )?` + flag + `\b`).MatchString(help)
}

// others are flags in sentences that do not belong to export or import. They map to the
// command of Caddy that has them, or to "" for other programs.
var others = map[string]string{"--requirepass": "", "--maxmemory": "", "--environ": "run", "--bcrypt-cost": "hash-password"}

// Commands and flags of Caddy on the pages exist, even in sentences and in blocks that no test
// runs.
func TestCommandsAndFlagsExist(t *testing.T) {
	check := func(page, command, args, where string) {
		text := help(t, command)
		if text == "" {
			t.Errorf("%s: there is no command caddy %s: %s", page, command, where)
			return
		}
		for _, m := range longFlag.FindAllStringSubmatch(args, -1) {
			if !hasFlag(text, m[1]) {
				t.Errorf("%s: caddy %s has no %s: %s", page, command, m[1], where)
			}
		}
	}
	for _, page := range pages(t) {
		for _, text := range code(t, page) {
			for _, m := range caddyCall.FindAllStringSubmatch(text, -1) {
				check(page, m[1], m[2], m[0])
			}
			if m := shortCall.FindStringSubmatch(text); m != nil {
				check(page, "redis-proxy "+m[1], m[2], text)
			}
			if flag, _, _ := strings.Cut(text, " "); strings.HasPrefix(flag, "--") {
				other, isOther := others[flag]
				switch {
				case isOther && other != "":
					check(page, other, flag, text)
				case !isOther && !hasFlag(help(t, "redis-proxy export")+help(t, "redis-proxy import"), flag):
					t.Errorf("%s: neither export nor import has %s", page, flag)
				}
			}
		}
	}
	documented := readPage(t, "docs/export.md")
	for _, command := range []string{"redis-proxy export", "redis-proxy import"} {
		for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(help(t, command), -1) {
			if m[1] != "--help" && !strings.Contains(documented, "`"+m[1]) {
				t.Errorf("docs/export.md does not have %s of %s", m[1], command)
			}
		}
	}
}

// Targets of make, benchmarks, and flags of the programs in the checkout exist too.
func TestTargetsAndBenchmarksExist(t *testing.T) {
	makefile := readPage(t, "Makefile")
	version := regexp.MustCompile(`github.com/caddyserver/caddy/v2 (v\S+)`).FindStringSubmatch(readPage(t, "go.mod"))[1]
	for _, page := range pages(t) {
		for _, text := range code(t, page) {
			for _, m := range makeCall.FindAllStringSubmatch(text, -1) {
				if !strings.Contains(makefile, "\n"+m[1]+":") {
					t.Errorf("%s: there is no make %s", page, m[1])
				}
			}
			for _, m := range benchCall.FindAllStringSubmatch(text, -1) {
				pattern := regexp.MustCompile(`func Benchmark(\w+)\(b `)
				for _, folder := range strings.Fields(m[3]) {
					folder = filepath.Join(m[1], folder)
					if !slices.ContainsFunc(pattern.FindAllStringSubmatch(sources(t, folder), -1), func(found []string) bool {
						return regexp.MustCompile(m[2]).MatchString("Benchmark" + found[1])
					}) {
						t.Errorf("%s: no benchmark in %s is met by %s", page, folder, m[2])
					}
				}
			}
			for _, m := range flagsCall.FindAllStringSubmatch(text, -1) {
				folder, ok := programs[m[1]]
				if !ok {
					t.Errorf("%s: make %s takes no FLAGS", page, m[1])
					continue
				}
				for _, flag := range goFlag.FindAllStringSubmatch(strings.Trim(m[2], `'"`), -1) {
					if flag[1] != "help" && !regexp.MustCompile(`flags?\.\w+\([^\n]*"`+flag[1]+`",`).MatchString(sources(t, folder)) {
						t.Errorf("%s: make %s has no -%s", page, m[1], flag[1])
					}
				}
			}
			for _, m := range xcaddyCall.FindAllStringSubmatch(text, -1) {
				if m[1] != version {
					t.Errorf("%s: Caddy %s, in go.mod it is %s", page, m[1], version)
				}
			}
		}
	}
}

// sources returns the Go files of a folder.
func sources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no Go files: %v", folder, err)
	}
	var text strings.Builder
	for _, file := range files {
		text.WriteString(readPage(t, strings.TrimPrefix(file, root+"/")))
	}
	return text.String()
}
