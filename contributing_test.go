package redisproxy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The paths in CONTRIBUTING.md must exist.
func TestContributingNamesPathsThatExist(t *testing.T) {
	paths := regexp.MustCompile("`([a-z_.]+/[\\w./]*)`").FindAllStringSubmatch(readFile(t, "CONTRIBUTING.md"), -1)
	if len(paths) < 30 {
		t.Errorf("only %d paths were found", len(paths))
	}
	for _, m := range paths {
		if m[1] == "testing/synctest" { // a package of Go
			continue
		}
		name := strings.Replace(m[1], "NAME", "lru", 1)
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
}
