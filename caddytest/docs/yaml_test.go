package docs

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// scrape has the fields of Prometheus's configuration that the pages use.
type scrape struct {
	ScrapeConfigs []struct {
		JobName       string                       `yaml:"job_name"`
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

// targets are those that each page names, where a site serves the metrics.
var targets = map[string][]string{"docs/metrics.md": {"localhost:2019"}, "docs/docker.md": {"cache:8080"}}

// YAML on the pages has only known names, and they fit together.
func TestYAMLHasKnownNamesThatFitTogether(t *testing.T) {
	for _, page := range pages(t) {
		for _, b := range pageBlocks(t, page) {
			if b.language != "yaml" {
				continue
			}
			t.Run(page+" "+b.under, func(t *testing.T) {
				decoder := yaml.NewDecoder(strings.NewReader(b.text()))
				decoder.KnownFields(true)
				switch {
				case strings.HasPrefix(b.text(), "services:"):
					loadCompose(t, b.text())
				case strings.HasPrefix(b.text(), "apiVersion:"):
					readManifests(t, b.text())
				case strings.HasPrefix(b.text(), "scrape_configs:"):
					var s scrape
					if err := decoder.Decode(&s); err != nil {
						t.Fatal(err)
					}
					if len(s.ScrapeConfigs) != 1 || s.ScrapeConfigs[0].JobName == "" || !slices.Equal(s.ScrapeConfigs[0].StaticConfigs[0].Targets, targets[page]) {
						t.Errorf("%+v", s)
					}
				case b.file == "oapi-codegen.yaml":
					// A test in caddytest/apiclient generates a client with it.
					if b.text() != readPage(t, "caddytest/apiclient/oapi-codegen.yaml") {
						t.Error("it differs from caddytest/apiclient/oapi-codegen.yaml")
					}
				default:
					t.Error("nobody knows what this is")
				}
			})
		}
	}
}
