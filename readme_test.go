package redisproxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// Every Caddyfile of the documentation is one that Caddy takes. What is no site
// of its own stands in one.
func TestCaddyfilesOfTheDocumentationAreValid(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, strings.Split(string(text), "```caddyfile\n")[1:]...)
	}
	adapted := 0
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if strings.HasPrefix(block, "redis_proxy [") || strings.HasPrefix(block, "redis_proxy_dashboard [") {
			continue // the syntax, not an example
		}
		if !strings.Contains(block, "example.com {\n") && !strings.Contains(block, "http://localhost") {
			block = "http://localhost {\n" + block + "}\n"
		}
		if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(block), nil); err != nil {
			t.Errorf("%v in\n%s", err, block)
		}
		adapted++
	}
	if adapted < 5 {
		t.Errorf("only %d examples were found", adapted)
	}
}
