package docs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// The JSON on the pages is compared with real JSON, by page and heading. If a heading has
// several blocks, they come in their order.
var examples = map[string][]func(*testing.T, string){
	"docs/directive.md#the-directive-and-its-json": {isAHandler},
	"docs/events.md#message":                       {isAnEvent},
	"docs/export.md#the-file":                      {isAnExport},
	"docs/http-api.md#batch-reads":                 {isABatchRead},
	"docs/http-api.md#errors":                      {isAConflict},
	"docs/http-api.md#listing-keys":                {isAPageOfKeys, isADeletion},
	"docs/metrics.md#placeholders":                 {isInTheAccessLog},
}

func TestJSONExamplesAreReal(t *testing.T) {
	used := make(map[string]int)
	for _, page := range pages(t) {
		for _, b := range pageBlocks(t, page) {
			if b.language != "json" {
				continue
			}
			key := page + "#" + b.under
			n := used[key]
			used[key]++
			if n >= len(examples[key]) {
				t.Errorf("%s, line %d: nobody compares this; see examples", page, b.line)
				continue
			}
			t.Run(key, func(t *testing.T) { examples[key][n](t, b.text()) })
		}
	}
	for key := range examples {
		if used[key] == 0 {
			t.Errorf("%s has no JSON", key)
		}
	}
}

func isAHandler(t *testing.T, text string) {
	t.Setenv("REDIS_URL", "redis://127.0.0.1:1/0")
	config := `{"admin": {"disabled": true}, "apps": {"http": {"servers": {"s": {"routes": [{"handle": [` + text + `]}]}}}}}`
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Error(err)
	}
}

const exampleSite = `http://localhost:8080 {
	log {
		output file access.log
	}
	redis_proxy {
		store {env.REDIS_URL}
		methods GET POST PUT DELETE
		listing
		max_keys 3
		placeholders
	}
}
`

// exampleCache runs a cache with the entries of the pages' examples.
func exampleCache(t *testing.T) (*site, *redistest.Server) {
	t.Helper()
	redis := redistest.Start(t)
	s := runSite(t, exampleSite, "REDIS_URL="+redis.URL())
	s.visit(t, visit{"a value", "POST http://localhost:8080/cache/a\nContent-Type: application/json\n\n{\"value\": {\"n\": 7}}", 201, ""})
	s.visit(t, visit{"bytes", "POST http://localhost:8080/cache/b\nContent-Type: image/svg+xml\n\n<svg/>", 201, ""})
	return s, redis
}

func (s *site) get(t *testing.T, method, url string) any {
	t.Helper()
	r, err := http.NewRequest(method, s.ports.replace(url), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, string(body))
}

func isABatchRead(t *testing.T, text string) {
	s, _ := exampleCache(t)
	got := s.get(t, "GET", "http://localhost:8080/cache?key=a&key=b&key=c")
	etags := func(v any) any {
		for _, e := range v.(map[string]any)["entries"].([]any) {
			e.(map[string]any)["etag"] = "…"
		}
		return v
	}
	if said := parsed(t, text); shape(said) != shape(got) || !reflect.DeepEqual(etags(said), etags(got)) {
		t.Errorf("the answer is\n%v\nthe page says\n%v", got, said)
	}
}

func isAPageOfKeys(t *testing.T, text string) {
	s, _ := exampleCache(t)
	s.visit(t, visit{"a key", "POST http://localhost:8080/cache/user/1\n\nx", 201, ""})
	got := s.get(t, "GET", "http://localhost:8080/cache?prefix=user/&limit=1").(map[string]any)
	said := parsed(t, text).(map[string]any)
	if _, isCursor := said["cursor"].(string); !isCursor || !reflect.DeepEqual(got["keys"], said["keys"].([]any)[:1]) {
		t.Errorf("the answer is\n%v\nthe page says\n%v", got, said)
	}
}

func isADeletion(t *testing.T, text string) {
	s, _ := exampleCache(t)
	if got, said := s.get(t, "DELETE", "http://localhost:8080/cache?prefix="), parsed(t, text); !reflect.DeepEqual(got, said) {
		t.Errorf("the answer is\n%v\nthe page says\n%v", got, said)
	}
}

func isAConflict(t *testing.T, text string) {
	s, _ := exampleCache(t)
	if got, said := s.get(t, "POST", "http://localhost:8080/cache/a"), parsed(t, text); !reflect.DeepEqual(got, said) {
		t.Errorf("the answer is\n%v\nthe page says\n%v", got, said)
	}
}

func isAnEvent(t *testing.T, text string) {
	s, redis := exampleCache(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	subscription := redis.Client().Subscribe(ctx, "{cache}:events:0")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	said := parsed(t, text).(map[string]any)
	happens := make(map[any]bool)
	for _, request := range []string{
		"POST http://localhost:8080/cache/c\n\nv", "POST http://localhost:8080/cache/d\n\nv",
		"PUT http://localhost:8080/cache/d\n\nw", "DELETE http://localhost:8080/cache/d",
	} {
		method, _, _ := strings.Cut(request, " ")
		s.visit(t, visit{request, request, map[string]int{"POST": 201, "PUT": 200, "DELETE": 204}[method], ""})
		message, err := subscription.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		event := parsed(t, message.Payload)
		if shape(event) != shape(said) || event.(map[string]any)["version"] != said["version"] {
			t.Errorf("an event is\n%s\nthe page says\n%s", message.Payload, text)
		}
		for _, change := range event.(map[string]any)["changes"].([]any) {
			happens[change.([]any)[0]] = true
		}
	}
	page := readPage(t, "docs/events.md")
	haveFields(t, page, slices.Collect(maps.Keys(said)))
	for what := range happens {
		if !strings.Contains(page, fmt.Sprint("`", what, "`")) {
			t.Errorf("the page does not have %v", what)
		}
	}
	for _, change := range said["changes"].([]any) {
		if what := change.([]any)[0]; !happens[what] {
			t.Errorf("the page has %v", what)
		}
	}
}

var fieldRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|")

// haveFields compares the names in a page's tables with the real ones.
func haveFields(t *testing.T, page string, fields []string) {
	t.Helper()
	var rows []string
	for _, m := range fieldRow.FindAllStringSubmatch(page, -1) {
		rows = append(rows, m[1])
	}
	slices.Sort(rows)
	slices.Sort(fields)
	if !slices.Equal(rows, fields) {
		t.Errorf("the page's table has %v, there are %v", rows, fields)
	}
}

// isAnExport checks the fields of entries. A test of the command imports an export.
func isAnExport(t *testing.T, text string) {
	fields := make(map[string]bool)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, `{"key":`) {
			for name := range parsed(t, line).(map[string]any) {
				fields[name] = true
			}
		}
	}
	haveFields(t, readPage(t, "docs/export.md"), slices.Collect(maps.Keys(fields)))
}

func isInTheAccessLog(t *testing.T, text string) {
	s, _ := exampleCache(t)
	for range 2 { // from the store, then from the local tier
		s.visit(t, visit{"a read", "GET http://localhost:8080/cache/a", 200, ""})
	}
	said := parsed(t, text).(map[string]any)
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		log, _ := os.ReadFile(filepath.Join(s.dir, "access.log"))
		for line := range strings.Lines(string(log)) {
			got, ok := parsed(t, line).(map[string]any)
			own, _ := got["redis_proxy"].(map[string]any)
			if !ok || own["status"] != "local" {
				continue
			}
			// Fields that the page leaves out are Caddy's.
			if got["msg"] != said["msg"] || shape(own) != shape(said["redis_proxy"]) || len(said) != 2 {
				t.Errorf("the log has\n%s\nthe page says\n%s", line, text)
			}
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no line of a local answer in\n%s", log)
		}
	}
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// shape returns the fields of an object with their types, also of objects within.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, name+":"+shape(v[name]))
		}
		return "{" + strings.Join(fields, ",") + "}"
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, shape(e))
		}
		slices.Sort(elements)
		return "[" + strings.Join(slices.Compact(elements), ",") + "]"
	default:
		return fmt.Sprintf("%T", v)
	}
}

var (
	inlineJSON = regexp.MustCompile("`[^`\n]*\"[a-z_]+\": ?[^`\n]*`")
	jsonTag    = regexp.MustCompile("`json:\"([a-z_]+)\"`")
	jsonName   = regexp.MustCompile(`"([a-z_]+)":`)
	yamlName   = regexp.MustCompile(`(?m)[\s{]([a-z_]+):`)
)

// Names in JSON within sentences exist.
func TestNamesInSentencesExist(t *testing.T) {
	known := map[string]bool{"handler": true}
	for _, m := range yamlName.FindAllStringSubmatch(readPage(t, "docs/openapi.yaml"), -1) {
		known[m[1]] = true
	}
	for _, m := range jsonTag.FindAllStringSubmatch(readPage(t, "engine/dump/format.go"), -1) {
		known[m[1]] = true
	}
	for field := range reflect.TypeFor[redisproxy.Handler]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	for _, page := range pages(t) {
		for _, span := range inlineJSON.FindAllString(readPage(t, page), -1) {
			for _, m := range jsonName.FindAllStringSubmatch(span, -1) {
				if !known[m[1]] {
					t.Errorf("%s: nothing has the name %s: %s", page, m[1], span)
				}
			}
		}
	}
}
