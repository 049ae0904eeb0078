package apiclient

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var onThePage = regexp.MustCompile(`(?m)^\$ go run (github\.com/oapi-codegen/oapi-codegen/v2)/cmd/oapi-codegen@(\S+) (.+)$`)

// TestTheClientIsUpToDate generates the client anew, as docs/clients.md says.
func TestTheClientIsUpToDate(t *testing.T) {
	command := onThePage.FindStringSubmatch(read(t, "../../docs/clients.md"))
	if command == nil {
		t.Fatal("docs/clients.md does not say how to generate a client")
	}
	if !strings.Contains(read(t, "../../tools/go.mod"), command[1]+" "+command[2]) {
		t.Errorf("tools/go.mod does not have the version on the page, %s", command[2])
	}
	anew := filepath.Join(t.TempDir(), "client.gen.go")
	args := []string{"tool", "-modfile=../../tools/go.mod", "oapi-codegen"}
	for _, arg := range strings.Fields(command[3]) {
		switch arg {
		case "client.gen.go":
			arg = anew
		case "openapi.yaml":
			arg = "../../docs/openapi.yaml"
		}
		args = append(args, arg)
	}
	generate := exec.CommandContext(t.Context(), "go", args...)
	generate.Env = append(os.Environ(), "GOWORK=off")
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if read(t, "client.gen.go") != read(t, anew) {
		t.Error("client.gen.go is not the client of docs/openapi.yaml; run: go -C caddytest generate ./apiclient")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
