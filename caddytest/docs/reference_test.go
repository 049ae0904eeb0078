package docs

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
)

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
