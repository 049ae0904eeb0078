package version

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// first returns what the first match of a pattern in a file has in its parentheses.
func first(t *testing.T, file, pattern string) []string {
	t.Helper()
	found := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(readFile(t, file))
	if found == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return found[1:]
}

// A release cannot forget one of these.
func TestTheVersionIsTheSameEverywhere(t *testing.T) {
	version := This().Version
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		t.Errorf("VERSION is %q", version)
	}
	if newest := first(t, "CHANGELOG.md", `^## \[?(\d\S*?)\]? - \d{4}-\d\d-\d\d$`)[0]; newest != version {
		t.Errorf("the newest version in CHANGELOG.md is %s, and VERSION has %s", newest, version)
	}
	if says := first(t, "README.md", `This is (\d\S*) \(\[what changed\]`)[0]; says != version {
		t.Errorf("README.md says that this is %s, and VERSION has %s", says, version)
	}
	row := first(t, "docs/upgrade.md", `^\| (\d\S*) \| (\d+) \| (\d+) \| (\d+) \|$`)
	if got, want := fmt.Sprint(row), fmt.Sprint([]any{version, redisstore.LayoutVersion, redisstore.EventVersion, dump.Version}); got != want {
		t.Errorf("the newest row in docs/upgrade.md is %s, want %s", got, want)
	}
}

// The two builds take the version from its file, and have the same flags.
func TestBuildsTakeTheVersionFromItsFile(t *testing.T) {
	makefile, dockerfile := readFile(t, "Makefile"), readFile(t, "xcaddy.Dockerfile")
	for file, want := range map[string][2]string{
		makefile:   {"VERSION := $(shell cat internal/version/VERSION)\n", " --with $(MODULE)@v$(VERSION)=. "},
		dockerfile: {`$(cat internal/version/VERSION)`, `--with "github.com/redis-proxy/caddy-redis-proxy@v$(cat internal/version/VERSION)=." `},
	} {
		for _, text := range want {
			if !strings.Contains(file, text) {
				t.Errorf("there is no %s in\n%s", text, file)
			}
		}
	}
	ofMake := first(t, "Makefile", `^BUILD_FLAGS = (.*)$`)[0]
	ofMake = strings.NewReplacer("$(MODULE)", "github.com/redis-proxy/caddy-redis-proxy", "$(COMMIT)", "${COMMIT}").Replace(ofMake)
	ofDocker := first(t, "xcaddy.Dockerfile", `^\tXCADDY_GO_BUILD_FLAGS="(.*)" \\$`)[0]
	if ofDocker = strings.ReplaceAll(ofDocker, `\"`, `"`); ofMake != ofDocker {
		t.Errorf("the Makefile builds with\n%s\nand xcaddy.Dockerfile with\n%s", ofMake, ofDocker)
	}
}

func TestTheLineShowsNoCommitThatIsNotKnown(t *testing.T) {
	b := Build{Version: "1.2.3", Commit: "1a2b3c4d5e6f-dirty", Layout: 4, Events: 5, Export: 6, Caddy: "v2.0.0", Go: "go1.26"}
	for want, commit := range map[string]string{
		"caddy-redis-proxy 1.2.3 (1a2b3c4d5e6f-dirty), layout 4, events 5, export format 6, Caddy v2.0.0, go1.26": b.Commit,
		"caddy-redis-proxy 1.2.3, layout 4, events 5, export format 6, Caddy v2.0.0, go1.26":                      "",
	} {
		if b.Commit = commit; b.String() != want {
			t.Errorf("%q, want %q", b, want)
		}
	}
}
