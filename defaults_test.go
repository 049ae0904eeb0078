package redisproxy

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// documented is the default that a page gives for a setting.
type documented struct {
	value   string // as in a Caddyfile; "" if the setting is off or has no default
	comment string
}

var (
	tableRow     = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|")
	syntaxLine   = regexp.MustCompile(`(?m)^\t([a-z_]+)(?: +([^#\n]*?))?(?: +# (.*))?$`)
	exampleLine  = regexp.MustCompile(`(?m)^\t\t\t(?:# ?)?([a-z_]+)(?: {2,}([^#\n]*?)| ([^ \n]+))?(?: +# ((?:.*\n\t\t\t# {3,}# )*.*))?$`)
	ofEmbedded   = regexp.MustCompile(`([0-9]+ ?MiB) if embedded|embedded: ([0-9]+ ?MiB)`)
	readmeRow    = regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*) \\|")
	noneByItself = regexp.MustCompile(`\b(off|none) by default`)
)

// wholeDirective stands for the block of the directive in docs/directive.md.
const wholeDirective = "The whole directive"

// places say where a page has the default of a setting.
var places = map[string]string{
	wholeDirective:      "line for %s in the block of the directive",
	"docs/directive.md": "row that begins with | `%s` | in the table of settings",
	"Caddyfile.example": "line for %s in the block of redis_proxy, commented out or not",
}

// The documented defaults must be those in force: a configuration that writes them out
// equals the empty one.
func TestDocumentedDefaultsAreTheDefaults(t *testing.T) {
	read := func(page string) string {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, syntax, _ := strings.Cut(read("docs/directive.md"), "redis_proxy [<matcher>] {\n")
	syntax, _, _ = strings.Cut(syntax, "}\n```")
	_, example, _ := strings.Cut(read("Caddyfile.example"), "\t\tredis_proxy {\n")
	example, _, _ = strings.Cut(example, "\n\t\t}")

	for page, settings := range map[string]map[string]documented{
		wholeDirective:      make(map[string]documented),
		"docs/directive.md": make(map[string]documented),
		"Caddyfile.example": make(map[string]documented),
	} {
		switch page {
		case wholeDirective:
			for _, m := range syntaxLine.FindAllStringSubmatch(syntax, -1) {
				value, _, _ := strings.Cut(m[2], " | ")
				if strings.HasPrefix(value, "<") {
					value = ""
				}
				settings[m[1]] = documented{value, m[3]}
			}
		case "docs/directive.md":
			for _, m := range tableRow.FindAllStringSubmatch(read(page), -1) {
				value, _, _ := strings.Cut(m[2], ";")
				if _, quoted, ok := strings.Cut(m[2], "`"); ok {
					value, _, _ = strings.Cut(quoted, "`")
				}
				value = strings.Replace(value, " MiB", "MiB", 1)
				if value == "off" || value == "none" {
					value = ""
				}
				settings[m[1]] = documented{value, m[2]}
			}
		case "Caddyfile.example":
			for _, m := range exampleLine.FindAllStringSubmatch(example, -1) {
				value := m[2] + m[3]
				if noneByItself.MatchString(m[4]) {
					value = ""
				}
				if _, isThere := settings[m[1]]; !isThere { // the other matches are alternatives
					settings[m[1]] = documented{strings.TrimSuffix(strings.TrimPrefix(value, "{$REDIS_URL:"), "}"), m[4]}
				}
			}
		}
		for name := range settings {
			if !slices.Contains(settingNames(), name) {
				t.Errorf("%s has %s, which is no setting", page, name)
			}
		}
		for field := range reflect.TypeFor[Handler]().Fields() {
			tag, isSetting := field.Tag.Lookup("json")
			name, _, _ := strings.Cut(tag, ",")
			if !isSetting {
				continue
			}
			t.Run(page+" "+name, func(t *testing.T) {
				d, ok := settings[name]
				if !ok {
					t.Fatalf("%s has no %s", page, fmt.Sprintf(places[page], name))
				}
				checkDefault(t, field, name, d)
			})
		}
	}
}

// README has some settings only, and several in a row: `a`, `b` | of a, of b.
func TestDefaultsInREADMEAreTheDefaults(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| setting | by default | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := readmeRow.FindAllStringSubmatch(table, -1)
	if len(rows) < 8 {
		t.Fatalf("README.md has %d settings with defaults", len(rows))
	}
	quoted := regexp.MustCompile("`([a-z_]+)[^`]*`")
	for _, row := range rows {
		defaults := strings.Split(strings.ReplaceAll(row[2], "`", ""), ", ")
		for i, name := range quoted.FindAllStringSubmatch(row[1], -1) {
			d := documented{defaults[min(i, len(defaults)-1)], strings.ReplaceAll(row[2], "`", "")}
			d.value, _, _ = strings.Cut(d.value, " (")
			switch d.value {
			case "no limit", "off", "none", "for ever":
				d.value = ""
			}
			field, ok := fieldOf(name[1])
			if !ok {
				t.Errorf("README.md has %s, which is no setting", name[1])
				continue
			}
			t.Run(name[1], func(t *testing.T) { checkDefault(t, field, name[1], d) })
		}
	}
}

// fieldOf returns the field of the handler for a setting.
func fieldOf(setting string) (reflect.StructField, bool) {
	for field := range reflect.TypeFor[Handler]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name == setting {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

func checkDefault(t *testing.T, field reflect.StructField, name string, d documented) {
	t.Helper()
	store := "redis://localhost"
	if name == "store" {
		store = running.Embedded
	}
	want := &Handler{Store: store}
	want.setDefaults()
	if d.value == "" {
		value := reflect.ValueOf(want).Elem().FieldByIndex(field.Index)
		if value.Kind() == reflect.Pointer {
			value = value.Elem() // of nil it is invalid
		}
		if value.IsValid() && !value.IsZero() {
			t.Errorf("the page says none, it is %v", value)
		}
	}
	same := func(setting string, want *Handler) {
		got := &Handler{Store: want.Store}
		if err := got.UnmarshalCaddyfile(caddyfile.NewTestDispenser("redis_proxy {\n" + setting + "\n}")); err != nil {
			t.Fatal(err)
		}
		got.setDefaults()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is not the default", setting)
		}
	}
	if d.value != "" {
		same(name+" "+d.value, want)
	}
	if name == "max_bytes" {
		m := ofEmbedded.FindStringSubmatch(d.comment)
		if m == nil {
			t.Fatalf("nothing is said of the embedded store: %s", d.comment)
		}
		embedded := new(Handler)
		embedded.setDefaults()
		same(fmt.Sprint(name, " ", strings.Replace(m[1]+m[2], " ", "", 1)), embedded)
	}
}
