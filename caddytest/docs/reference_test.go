package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	shownBy  = regexp.MustCompile(`(?s)\*Shown by\* (.*?)(?:\n\n|\z)`)
	cited    = regexp.MustCompile("(`[^`]+`)|\"([^\"]+)\"")
	testName = regexp.MustCompile(`^Test\w+$`)
)

// Each guarantee names existing files, and tests in them.
func TestTheTestsOfTheGuaranteesExist(t *testing.T) {
	found := shownBy.FindAllStringSubmatch(readPage(t, "docs/guarantees.md"), -1)
	if len(found) != 10 {
		t.Errorf("%d guarantees say what shows them", len(found))
	}
	for _, m := range found {
		var files, names []string
		for _, c := range cited.FindAllString(m[1], -1) {
			name := strings.Join(strings.Fields(strings.Trim(c, "`\"")), " ")
			switch {
			case c[0] == '"' || testName.MatchString(name):
				names = append(names, name)
			case strings.HasSuffix(name, ".go"):
				files = append(files, readPage(t, name))
			}
		}
		if len(files) == 0 {
			t.Errorf("no file is named: %s", m[1])
		}
		for _, name := range names {
			if !slices.ContainsFunc(files, func(text string) bool {
				return strings.Contains(text, "func "+name+"(t ") || strings.Contains(text, `{"`+name+`"`)
			}) {
				t.Errorf("no file that is named has %s", name)
			}
		}
	}
}
