package docs

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
)

var (
	shownBy  = regexp.MustCompile(`(?s)\*Shown by\* (.*?)(?:\n\n|\z)`)
	cited    = regexp.MustCompile("(`[^`]+`)|\"([^\"]+)\"")
	testName = regexp.MustCompile(`^Test\w+$`)
)

// Each guarantee names what shows it: files that there are, and in them the tests.
func TestTheTestsOfTheGuaranteesExist(t *testing.T) {
	found := shownBy.FindAllStringSubmatch(readPage(t, "docs/guarantees.md"), -1)
	if len(found) != 8 {
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

var settingRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")

// The reference has every setting, and none that there is not.
func TestTheReferenceHasEverySetting(t *testing.T) {
	var documented []string
	for _, m := range settingRow.FindAllStringSubmatch(readPage(t, "docs/directive.md"), -1) {
		documented = append(documented, m[1])
	}
	var settings []string
	handler := reflect.TypeFor[redisproxy.Handler]()
	for i := range handler.NumField() {
		if tag, ok := handler.Field(i).Tag.Lookup("json"); ok {
			name, _, _ := strings.Cut(tag, ",")
			settings = append(settings, name)
		}
	}
	for _, name := range settings {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/directive.md does not have %s", name)
		}
		if !strings.Contains(readPage(t, "README.md"), "\n\t"+name) {
			t.Errorf("the README's syntax does not have %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(settings, name) {
			t.Errorf("docs/directive.md has %s, which is no setting", name)
		}
	}
}
