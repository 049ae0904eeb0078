package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// block is a fenced block of a page.
type block struct {
	line     int    // of its first fence
	under    string // the anchor of the heading above
	indent   string
	language string
	file     string // where to write it
	needs    string // why no test runs it
	lines    []string
	// isEndless says that its commands run until they are interrupted.
	isEndless bool
}

func (b *block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// needed are the allowed reasons not to run a block.
var needed = map[string]bool{
	"docker": true,
	"root":   true, // it changes the machine
	"build":  true, // it builds, tests or measures the checkout itself
}

var fence = regexp.MustCompile("^( *)```([a-z]*)((?: +[a-z]+=[^ ]+)*)$")

// pages returns the documentation, by path from the root.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md"}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if name = strings.TrimPrefix(name, root+"/"); name != "README.md" {
				found = append(found, name)
			}
		}
	}
	return found
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the blocks of a page.
func blocks(text string) ([]*block, error) {
	var found []*block
	var open *block
	var under string
	for i, line := range strings.Split(text, "\n") {
		switch {
		case open != nil && line == open.indent+"```":
			found = append(found, open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, strings.TrimPrefix(line, open.indent))
		case strings.HasPrefix(line, "#"):
			under = anchor(line)
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			m := fence.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("line %d: unknown form of a block: %s", i+1, line)
			}
			open = &block{line: i + 1, under: under, indent: m[1], language: m[2]}
			for _, attribute := range strings.Fields(m[3]) {
				switch name, value, _ := strings.Cut(attribute, "="); name {
				case "file":
					open.file = value
				case "ends":
					if value != "ctrl-c" {
						return nil, fmt.Errorf("line %d: unknown end: %s", i+1, value)
					}
					open.isEndless = true
				case "needs":
					if !needed[value] {
						return nil, fmt.Errorf("line %d: not a reason to leave a block out: %s", i+1, value)
					}
					open.needs = value
				default:
					return nil, fmt.Errorf("line %d: unknown attribute %s", i+1, name)
				}
			}
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block does not end", open.line)
	}
	return found, nil
}

// step is a command with its output.
type step struct {
	line    int
	command string
	prints  []string // nil: the page shows none
}

// steps returns the steps of a console block.
func steps(b *block) ([]step, error) {
	var found []step
	for i, line := range b.lines {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if isCommand {
			found = append(found, step{line: b.line + 1 + i, command: command})
			continue
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("line %d: printed before a command", b.line+1+i)
		}
		s := &found[len(found)-1]
		if more, ok := strings.CutPrefix(line, "> "); ok || s.prints == nil && strings.HasSuffix(s.command, "\\") {
			if !ok {
				more = line
			}
			s.command += "\n" + more
			continue
		}
		s.prints = append(s.prints, line)
	}
	return found, nil
}

// matches reports whether output matches a page. In a line, … stands for any text. A line
// with … alone stands for any number of lines.
func matches(printed, said []string) bool {
	if len(said) == 0 {
		return len(printed) == 0
	}
	if said[0] == "…" {
		for n := range len(printed) + 1 {
			if matches(printed[n:], said[1:]) {
				return true
			}
		}
		return false
	}
	if len(printed) == 0 {
		return false
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(said[0]), "…", ".*")
	return regexp.MustCompile("^"+pattern+"$").MatchString(printed[0]) && matches(printed[1:], said[1:])
}
