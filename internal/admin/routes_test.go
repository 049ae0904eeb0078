package admin

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// compare reports requests that only one of two lists has.
func compare(t *testing.T, file string, documented, served map[string]bool) {
	t.Helper()
	if len(documented) == 0 {
		t.Fatalf("%s: no request was found", file)
	}
	for _, request := range slices.Sorted(maps.Keys(served)) {
		if !documented[request] {
			t.Errorf("%s does not have %s", file, request)
		}
	}
	for _, request := range slices.Sorted(maps.Keys(documented)) {
		if !served[request] {
			t.Errorf("%s has %s, which is no route", file, request)
		}
	}
}

func TestEveryRouteIsInTheDocumentation(t *testing.T) {
	served := make(map[string]bool)
	for _, r := range routes {
		served[strings.TrimSpace(r.method+" "+r.pattern)] = true
	}
	const file = "../../docs/admin.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	code := regexp.MustCompile("`((?:GET|DELETE|POST|PUT|PATCH)(?: [a-z{][^`?]*)?)(?:\\?[^`]*)?`")
	for line := range strings.Lines(string(text)) {
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			first, _, _ := strings.Cut("`"+row, " | ")
			for _, found := range code.FindAllStringSubmatch(first, -1) {
				documented[found[1]] = true
			}
		}
	}
	compare(t, file, documented, served)
}

func TestEveryRouteIsInTheOpenAPIDescription(t *testing.T) {
	served := make(map[string]bool)
	for _, r := range routes {
		served[r.method+" "+r.pattern] = true
		served["OPTIONS "+r.pattern] = true
		if r.method == http.MethodGet {
			served["HEAD "+r.pattern] = true
		}
	}
	const file = "../../docs/openapi.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	path := regexp.MustCompile(`^  (/.*):$`)
	method := regexp.MustCompile(`^    (get|head|post|put|patch|delete|options|trace):$`)
	pattern, isAdmin := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if found := path.FindStringSubmatch(line); found != nil {
			pattern, isAdmin = strings.CutPrefix(found[1], adminBase+"/")
		}
		if found := method.FindStringSubmatch(line); found != nil && isAdmin {
			documented[strings.ToUpper(found[1])+" "+pattern] = true
		}
	}
	compare(t, file, documented, served)
}

func TestUnknownPathsSayWhatThereIs(t *testing.T) {
	for path, want := range map[string]string{
		"/redis_proxy/nothing":     "nothing is here; the caches are at /redis_proxy/caches",
		"/redis_proxy/index.html":  "nothing is here; the caches are at /redis_proxy/caches",
		"/redis_proxy/live/":       "nothing is here; the caches are at /redis_proxy/caches",
		"/redis_proxy/%7Bfile%7D":  "nothing is here; the caches are at /redis_proxy/caches",
		"/redis_proxy/caches/none": "no cache has this id or namespace; caches lists those that run",
		"/redis_proxy/caches/":     "no cache has this id or namespace; caches lists those that run",
		"/elsewhere":               "nothing is here",
	} {
		err := (&handler{base: adminBase}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		if failed, ok := err.(caddy.APIError); !ok || failed.HTTPStatus != http.StatusNotFound || failed.Err.Error() != want {
			t.Errorf("%s: got %v, want 404 and %q", path, err, want)
		}
	}
}
