package redisproxy

import (
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// exampleLines has a line for each setting, with a value that is not the default.
func exampleLines(t *testing.T) map[string]string {
	lines := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\t\t\t(([a-z_]+).*)$`).FindAllStringSubmatch(readFile(t, "testdata/all.Caddyfile"), -1) {
		lines[m[2]] = m[1]
	}
	return lines
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// jsonName returns the name of a field in JSON; "" if JSON does not have the field.
func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

func TestEveryFieldOfTheHandlerIsInTheTable(t *testing.T) {
	var fields []string
	for field := range reflect.TypeFor[Handler]().Fields() {
		if name := jsonName(field); name != "" {
			fields = append(fields, name)
		}
	}
	if names := settingNames(); !slices.Equal(names, fields) {
		t.Errorf("the table has %v, the Handler %v", names, fields)
	}
}

func TestEverySettingSetsItsField(t *testing.T) {
	lines := exampleLines(t)
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			var h Handler
			d := caddyfile.NewTestDispenser(lines[s.name])
			if d.Next(); d.Val() != s.name {
				t.Fatal("testdata/all.Caddyfile does not have it")
			}
			if err := s.typ.unmarshal(&h, d); err != nil {
				t.Fatal(err)
			}
			var set []string
			for field, value := range reflect.ValueOf(&h).Elem().Fields() {
				if !value.IsZero() {
					set = append(set, jsonName(field))
				}
			}
			if !slices.Equal(set, []string{s.name}) {
				t.Errorf("it sets %v", set)
			}
		})
	}
}

// Each setting of the engine must be copied to the engine's settings, compared between
// the handlers of a cache, and shown. The engine must have no other settings.
func TestSettingsOfTheEngine(t *testing.T) {
	lines := exampleLines(t)
	unset := make(map[string]bool)
	for name := range leaves(reflect.ValueOf(engine.Settings{}), "") {
		unset[name] = true
	}
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			if lines[s.name] == "" {
				t.Fatal("testdata/all.Caddyfile does not have it")
			}
			var one, other Handler
			d := caddyfile.NewTestDispenser(lines[s.name])
			d.Next()
			if err := s.typ.unmarshal(&other, d); err != nil {
				t.Fatal(err)
			}
			one.setDefaults()
			other.setDefaults()
			var a, b engine.Settings
			value, changed := s.typ.share(&one, &a), s.typ.share(&other, &b)

			var differ []string
			before := leaves(reflect.ValueOf(a), "")
			for name, value := range leaves(reflect.ValueOf(b), "") {
				if before[name] != value {
					differ = append(differ, name)
				}
			}
			count, _ := s.typ.(countSetting)
			if value == nil || isOfConnection(s.typ) || count.fixed {
				if len(differ) > 0 {
					t.Errorf("it changes %v", differ)
				}
				if count.fixed && value == changed {
					t.Errorf("it is %v for both handlers", value)
				}
				return
			}
			if value == changed {
				t.Errorf("it is %v for both handlers", value)
			}
			ofEngine := strings.ReplaceAll(strings.TrimPrefix(s.name, "redis_"), "_", "")
			if len(differ) != 1 || !strings.EqualFold(path.Base(differ[0]), ofEngine) {
				t.Errorf("it changes %v", differ)
			}
			for _, name := range differ {
				delete(unset, name)
			}
		})
	}
	if len(unset) > 0 {
		t.Errorf("no setting sets these of engine.Settings: %v", unset)
	}
}

// leaves returns the fields of a struct and of its nested structs, by their path.
func leaves(v reflect.Value, prefix string) map[string]any {
	all := make(map[string]any)
	for field, value := range v.Fields() {
		if value.Kind() != reflect.Struct {
			all[prefix+field.Name] = value.Interface()
			continue
		}
		for name, value := range leaves(value, prefix+field.Name+"/") {
			all[name] = value
		}
	}
	return all
}

// sharedNames returns the settings that must be equal in all handlers of a cache.
func sharedNames(t *testing.T) (all, shown []string) {
	t.Helper()
	var h Handler
	h.setDefaults()
	s, err := h.sharedSettings()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.Named {
		all = append(all, a.Name)
		if !a.OfConnection {
			shown = append(shown, a.Name)
		}
	}
	return all, shown
}

// Every list of the settings must have exactly those in the table.
func TestListsOfSettings(t *testing.T) {
	all := settingNames()
	shared, shown := sharedNames(t)
	between := func(t *testing.T, file, begin, end string, lineBreaks ...string) string {
		t.Helper()
		text := strings.NewReplacer(lineBreaks...).Replace(readFile(t, file))
		_, text, isThere := strings.Cut(text, begin)
		text, _, isEnded := strings.Cut(text, end)
		if !isThere || !isEnded {
			t.Fatalf("%s has no %q, or no %q after it", file, begin, end)
		}
		return text
	}
	for _, c := range []struct {
		file, list, begin, end, pattern string
		want                            []string
	}{
		{"caddyfile.go", "the comment of UnmarshalCaddyfile", "//\tredis_proxy [<matcher>] {\n", "//\t}\n", `(?m)^//\t    ([a-z_]+)`, all},
		{"docs/directive.md", "the block of the directive", "redis_proxy [<matcher>] {\n", "\n}\n```", `(?m)^\t([a-z_]+)`, all},
		{"docs/directive.md", "the table of settings", "|---|---|---|---|\n", "\n\n", "(?m)^\\| `([a-z_]+)` \\|", all},
		{"docs/openapi.yaml", "the list of shared settings", "The shared settings in force on this node", "additionalProperties", `([a-z]+_[a-z_]+|partitions|eviction|durability)[],]`, shown},
	} {
		t.Run(c.list, func(t *testing.T) {
			var got []string
			for _, m := range regexp.MustCompile(c.pattern).FindAllStringSubmatch(between(t, c.file, c.begin, c.end), -1) {
				got = append(got, m[1])
			}
			checkNames(t, c.list+" in "+c.file, got, c.want)
		})
	}

	quoted := regexp.MustCompile("`([a-z_]+)`")
	t.Run("settings that handlers share, docs/directive.md", func(t *testing.T) {
		table := between(t, "docs/directive.md", "| about | settings |", "\n\n")
		var got []string
		for _, m := range quoted.FindAllStringSubmatch(table, -1) {
			got = append(got, m[1])
		}
		slices.SortStableFunc(got, func(a, b string) int { return slices.Index(all, a) - slices.Index(all, b) })
		checkNames(t, "the table of shared settings in docs/directive.md", got, shared)
	})
	t.Run("settings that handlers share, module.go", func(t *testing.T) {
		names := quoted.FindAllStringSubmatch(between(t, "module.go", "the settings from ", "must be", "\n// ", " "), -1)
		first, last := names[0][1], names[1][1]
		counted := slices.Clone(all[:slices.Index(all, "path_prefix")]) // the store and its credentials
		for _, name := range all[slices.Index(all, first) : slices.Index(all, last)+1] {
			if !slices.ContainsFunc(names[2:], func(m []string) bool { return m[1] == name }) {
				counted = append(counted, name)
			}
		}
		for _, name := range all {
			switch says, is := slices.Contains(counted, name), slices.Contains(shared, name); {
			case says && !is:
				t.Errorf("the comment of Handler in module.go counts %s as shared, since it lies between %s and %s; add it to the exceptions there", name, first, last)
			case is && !says:
				t.Errorf("the comment of Handler in module.go does not count %s as shared", name)
			}
		}
	})
}

func TestDocumentedLimitsAreTheLimits(t *testing.T) {
	limits := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]* \\| ([^|]*) \\|").FindAllStringSubmatch(readFile(t, "docs/directive.md"), -1) {
		limits[m[1]] = m[2]
	}
	for name, want := range map[string]string{"max_key_size": "1 to 65,536", "max_value_size": "1 to 512 MiB"} {
		if limits[name] != want {
			t.Errorf("%s: the page says %q, want %q", name, limits[name], want)
		}
	}
	saysNotZero := regexp.MustCompile(`^(at least|more than 0|1 to)`)
	for _, s := range settings {
		says := limits[s.name]
		switch s.typ.(type) {
		case flagSetting:
			if says != "flag" {
				t.Errorf("%s: the page says %q of a flag", s.name, says)
			}
		case countSetting, sizeSetting[int], sizeSetting[int64], durationSetting:
			d := caddyfile.NewTestDispenser(s.name + " 0")
			d.Next()
			err := s.typ.unmarshal(new(Handler), d)
			if saysNotZero.MatchString(says) != (err != nil) {
				t.Errorf("%s: the page says %q, and 0 is answered with %v", s.name, says, err)
			}
		}
	}
}

// checkNames reports the settings that a list misses or has beyond those that it should
// have.
func checkNames(t *testing.T, list string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s misses %s", list, name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s has %s, which does not belong there", list, name)
		}
	}
	if !t.Failed() && !slices.Equal(got, want) {
		t.Errorf("%s has the order\n%v, want\n%v", list, got, want)
	}
}

// The pages on which users choose a policy must name all policies.
func TestPoliciesAreDocumented(t *testing.T) {
	var names []string
	for _, p := range store.Policies {
		names = append(names, p.Name)
		for _, file := range []string{"README.md", "docs/eviction.md", "docs/export.md", "module.go"} {
			if !regexp.MustCompile(`\b` + p.Name + `\b`).MatchString(readFile(t, file)) {
				t.Errorf("%s does not name %s", file, p.Name)
			}
		}
	}
	if choice := strings.Join(names, "|"); !strings.Contains(readFile(t, "caddyfile.go"), "eviction         "+choice+"\n") {
		t.Errorf("the comment of UnmarshalCaddyfile does not offer %s", choice)
	}
}
