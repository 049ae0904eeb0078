package docs

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"go.yaml.in/yaml/v3"

	_ "github.com/redis-proxy/caddy-redis-proxy"
)

// The commands on a page work, and print the output that the page shows.
func TestCommandsDoWhatPagesSay(t *testing.T) {
	for _, page := range pages(t) {
		found := pageBlocks(t, page)
		if !slices.ContainsFunc(found, func(b *block) bool { return b.language == "console" && b.needs == "" }) {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			p := newPorts(t)
			s := newShell(t, p)
			for _, b := range found {
				switch {
				case b.needs != "":
				case b.file != "":
					file := filepath.Join(s.dir, b.file)
					if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, []byte(p.replace(b.text())), 0o600); err != nil {
						t.Fatal(err)
					}
				case b.language == "console":
					typeSteps(t, s, page, b)
				}
			}
		})
	}
}

var (
	ofRedis     = regexp.MustCompile(`\bredis-(cli|server)\b`)
	ofRunning   = regexp.MustCompile(`\bcaddy (stop|reload)\b`)
	ownPort     = regexp.MustCompile(`(-p|--port|-u redis://\S+:) ?(6390|6380|0)\b`)
	startsRedis = regexp.MustCompile(`redis-server --port ([1-9]\d*)`)
	ownAdmin    = regexp.MustCompile(`(?m)^\s+admin (localhost:2029|\{\$ADMIN\})`)
)

// A reader may have a Redis and a Caddy on the usual ports. The commands write to servers, empty
// them and stop them, so they name servers of their own, and start these only on a port where
// nobody answers.
func TestCommandsLeaveTheServersOfTheReaderAlone(t *testing.T) {
	for _, page := range pages(t) {
		hasOwnAdmin := false
		for _, b := range pageBlocks(t, page) {
			if b.file == "Caddyfile" {
				hasOwnAdmin = ownAdmin.MatchString(b.text())
			}
			if b.language != "console" || b.needs != "" {
				continue
			}
			all, err := steps(b)
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			for _, step := range all {
				say := func(what string) { t.Errorf("%s, line %d: $ %s\n%s", page, step.line, step.command, what) }
				if ofRedis.MatchString(step.command) && !ownPort.MatchString(step.command) {
					say("it may meet the reader's own Redis: write -p 6390")
				}
				if m := startsRedis.FindStringSubmatch(step.command); m != nil && !strings.HasPrefix(step.command, "redis-cli -p "+m[1]+" ping || ") {
					say("with --daemonize it says nothing of a taken port: write redis-cli -p " + m[1] + " ping || before it")
				}
				if ofRunning.MatchString(step.command) && !(hasOwnAdmin && strings.Contains(step.command, " --")) {
					say("it may meet the reader's own Caddy: write admin localhost:2029 into the Caddyfile, and --config or --address here")
				}
			}
		}
	}
}

func typeSteps(t *testing.T, s *shell, page string, b *block) {
	t.Helper()
	all, err := steps(b)
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	for _, step := range all {
		said := strings.Split(s.ports.replace(strings.Join(step.prints, "\n")), "\n")
		var printed []string
		var status int
		switch {
		case b.isEndless && step.prints == nil:
			t.Fatalf("%s, line %d: what goes on must say what it prints by then", page, step.line)
		case b.isEndless:
			printed = s.runUntil(s.ports.replace(step.command), said)
		case step.prints == nil:
			printed, status = s.runUnshown(s.ports.replace(step.command))
		default:
			printed, status = s.run(s.ports.replace(step.command))
		}
		if step.prints != nil && !matches(printed, said) || step.prints == nil && status != 0 {
			t.Fatalf("%s, line %d: $ %s\nprinted, with exit status %d:\n%s\nthe page says:\n%s",
				page, step.line, step.command, status, strings.Join(printed, "\n"), strings.Join(step.prints, "\n"))
		}
	}
}

// Caddy accepts every Caddyfile, and JSON and YAML are valid. Blocks in other languages are
// not input of any program.
func TestSnippetsAreValid(t *testing.T) {
	for _, page := range pages(t) {
		for _, b := range pageBlocks(t, page) {
			var err error
			switch b.language {
			case "caddyfile":
				err = adapt(b.text())
			case "json":
				for line := range strings.Lines(b.text()) {
					if !json.Valid([]byte(line)) { // it may be JSON lines
						var v any
						err = json.Unmarshal([]byte(b.text()), &v)
						break
					}
				}
			case "yaml":
				var v any
				err = yaml.Unmarshal([]byte(b.text()), &v)
			case "console", "text", "":
			case "python", "js", "go": // run by TestClientsOnThePage
			default:
				t.Errorf("%s, line %d: nobody checks %s", page, b.line, b.language)
			}
			if err != nil {
				t.Errorf("%s, line %d: %v\n%s", page, b.line, err, b.text())
			}
		}
	}
}

// inSite matches lines that belong into a site.
var inSite = regexp.MustCompile(`^(@|redis_proxy|map|handle|route|basic_auth|respond|header|metrics|tracing|log|encode)`)

// syntax matches the description of a directive's syntax, which is no example.
var syntax = regexp.MustCompile(`(?m)^redis_proxy\w* \[<matcher>\]`)

func adapt(caddyfile string) error {
	if syntax.MatchString(caddyfile) {
		return nil
	}
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(inItsSite(caddyfile)), nil)
	return err
}

// inItsSite puts lines that belong into a site into one.
func inItsSite(caddyfile string) string {
	for line := range strings.Lines(caddyfile) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if inSite.MatchString(line) {
			return "example.com, *.example.com {\n" + caddyfile + "}\n"
		}
		break
	}
	return caddyfile
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links within the documentation have targets, and links from the README lead to every page.
func TestLinksLeadSomewhere(t *testing.T) {
	reached := map[string]bool{"README.md": true}
	linked := make(map[string][]string)
	for _, page := range pages(t) {
		text := readPage(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.IsAbs() {
				continue
			}
			target := page
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(page), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[1])
				continue
			}
			if u.Fragment != "" && !slices.Contains(anchors(readPage(t, target)), u.Fragment) {
				t.Errorf("%s: %s has no such heading", page, m[1])
			}
			linked[page] = append(linked[page], target)
		}
	}
	for next := []string{"README.md"}; len(next) > 0; {
		page := next[0]
		next = next[1:]
		for _, target := range linked[page] {
			if !reached[target] {
				reached[target] = true
				next = append(next, target)
			}
		}
	}
	for _, page := range pages(t) {
		if !reached[page] {
			t.Errorf("no link leads to %s", page)
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors returns GitHub's names of a page's headings.
func anchors(text string) []string {
	var found []string
	inBlock := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
		}
		if !inBlock && strings.HasPrefix(line, "#") {
			found = append(found, anchor(line))
		}
	}
	return found
}

func anchor(heading string) string {
	name := strings.TrimSpace(strings.TrimLeft(heading, "#"))
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(name), ""), " ", "-")
}

func pageBlocks(t *testing.T, page string) []*block {
	t.Helper()
	found, err := blocks(readPage(t, page))
	if err != nil {
		t.Fatalf("%s, %v", page, err)
	}
	return found
}
