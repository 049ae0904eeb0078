package redisproxy

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const caddyModule = "github.com/caddyserver/caddy/v2"

// testLibraries are small and have no dependencies. Tests that need other libraries are
// in the module caddytest.
var testLibraries = []string{
	"github.com/anishathalye/porcupine",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
}

// goMod is the output of `go mod edit -json`.
type goMod struct {
	Go      string
	Require []struct {
		Path, Version string
		Indirect      bool
	}
}

func readGoMod(t *testing.T, file string) goMod {
	t.Helper()
	var m goMod
	if err := json.Unmarshal([]byte(goCommand(t, "mod", "edit", "-json", file)), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, failure.String())
	}
	return strings.TrimSpace(string(out))
}

// The requirements in go.mod count in every Caddy with this module. A library that only
// tests import could make such a Caddy fail to build with another plugin.
func TestGoModRequiresWhatThePluginImports(t *testing.T) {
	all := readGoMod(t, "go.mod").Require
	isImported := make(map[string]bool)
	imports := goCommand(t, "list", "-deps", "-f", `{{with .Module}}{{if .Main}}{{join $.Imports "\n"}}{{end}}{{end}}`, ".")
	for path := range strings.FieldsSeq(imports) {
		owner := ""
		for _, r := range all {
			if strings.HasPrefix(path+"/", r.Path+"/") && len(r.Path) > len(owner) {
				owner = r.Path
			}
		}
		isImported[owner] = true
	}
	if !isImported[caddyModule] {
		t.Fatalf("the imports are incomplete:\n%s", imports)
	}
	for _, r := range all {
		if !r.Indirect && !isImported[r.Path] && !slices.Contains(testLibraries, r.Path) {
			t.Errorf("go.mod requires %s, which the plugin does not import; tests that need it belong in caddytest, which has a go.mod of its own", r.Path)
		}
	}
}

// reason finds the comment beside a line of go.mod.
var reason = regexp.MustCompile(`(?m)^\s*(\S+) v?[\d.]\S*[ \t]*// (?:indirect; )?(.+)$`)

// A version above Caddy's own also changes Caddy and other plugins.
func TestGoModRaisesNothingThatCaddyRequires(t *testing.T) {
	caddys := readGoMod(t, goCommand(t, "list", "-m", "-f", "{{.GoMod}}", caddyModule))
	wanted := map[string]string{"go": caddys.Go}
	for _, r := range caddys.Require {
		wanted[r.Path] = r.Version
	}
	ours := readGoMod(t, "go.mod")
	got := map[string]string{"go": ours.Go}
	for _, r := range ours.Require {
		got[r.Path] = r.Version
	}
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	hasReason := make(map[string]bool)
	for _, m := range reason.FindAllStringSubmatch(string(text), -1) {
		hasReason[m[1]] = m[2] != "indirect"
	}
	for path, version := range got {
		if want, ok := wanted[path]; ok && version != want && !hasReason[path] {
			t.Errorf("go.mod has %s %s, Caddy has %s: take Caddy's, or write the reason beside it, as in // why", path, version, want)
		}
	}
}
