package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose has the fields of a Compose file that the pages use. Any other name is an error
// until it is added here.
type compose struct {
	Services map[string]struct {
		Image     string
		Build     string
		DependsOn map[string]struct {
			Condition string
		} `yaml:"depends_on"`
		Environment     map[string]string
		Ports           []string
		Volumes         []string
		Command         []string
		Healthcheck     *struct{ Test, Interval any }
		StopGracePeriod string   `yaml:"stop_grace_period"`
		ReadOnly        bool     `yaml:"read_only"`
		CapDrop         []string `yaml:"cap_drop"`
		SecurityOpt     []string `yaml:"security_opt"`
		Restart         string
	}
	Volumes map[string]any
}

// scrape has the fields of Prometheus's configuration that the pages use.
type scrape struct {
	ScrapeConfigs []struct {
		JobName       string                       `yaml:"job_name"`
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

var portMapping = regexp.MustCompile(`^\d+:(\d+)(/udp|/tcp)?$`)

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
					var c compose
					if err := decoder.Decode(&c); err != nil {
						t.Fatal(err)
					}
					checkCompose(t, &c)
				case strings.HasPrefix(b.text(), "scrape_configs:"):
					var s scrape
					if err := decoder.Decode(&s); err != nil {
						t.Fatal(err)
					}
					if len(s.ScrapeConfigs) != 1 || s.ScrapeConfigs[0].JobName == "" || !slices.Equal(s.ScrapeConfigs[0].StaticConfigs[0].Targets, []string{"localhost:2019"}) {
						t.Errorf("%+v", s)
					}
				default:
					t.Error("nobody knows what this is")
				}
			})
		}
	}
}

func checkCompose(t *testing.T, c *compose) {
	t.Helper()
	dockerfile := readPage(t, "xcaddy.Dockerfile")
	for name, s := range c.Services {
		if s.Image == "" && s.Build == "" {
			t.Errorf("%s has neither an image nor what builds one", name)
		}
		for other, on := range s.DependsOn {
			dependency, ok := c.Services[other]
			if !ok || on.Condition == "service_healthy" && (dependency.Healthcheck == nil || dependency.Healthcheck.Test == nil) ||
				!slices.Contains([]string{"", "service_started", "service_healthy", "service_completed_successfully"}, on.Condition) {
				t.Errorf("%s depends on %s %+v, which %v", name, other, on, dependency)
			}
		}
		for _, url := range s.Environment {
			host, _, _ := strings.Cut(strings.TrimPrefix(url, "redis://"), ":")
			if _, ok := c.Services[host]; strings.HasPrefix(url, "redis://") && !ok {
				t.Errorf("%s looks for Redis at %s, which is no service", name, host)
			}
		}
		for _, p := range s.Ports {
			m := portMapping.FindStringSubmatch(p)
			if m == nil || s.Image == "caddy-redis-proxy" && !strings.Contains(dockerfile, m[1]) {
				t.Errorf("%s: port %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, to, ok := strings.Cut(v, ":")
			if _, isDeclared := c.Volumes[from]; !ok || !strings.HasPrefix(to, "/") || !isDeclared && !strings.HasPrefix(from, "./") {
				t.Errorf("%s: volume %s", name, v)
			}
		}
		if !slices.Contains([]string{"", "no", "always", "on-failure", "unless-stopped"}, s.Restart) {
			t.Errorf("%s: restart %s", name, s.Restart)
		}
	}
}
