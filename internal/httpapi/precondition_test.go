package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		lines                []string
		ifMatch, ifNoneMatch store.VersionSet
		broken               bool
	}{
		{nil, "", "", false},
		{[]string{"*"}, "*", "*", false},
		{[]string{" * "}, "*", "*", false},
		{[]string{`"a"`}, " a ", " a ", false},
		{[]string{`"a","b"`}, " a b ", " a b ", false},
		{[]string{` "a" ,, "b", `}, " a b ", " a b ", false},
		{[]string{`"a"`, `"b"`}, " a b ", " a b ", false},
		{[]string{`"a,b"`}, " a,b ", " a,b ", false},
		{[]string{`""`}, "  ", "  ", false},
		{[]string{`W/"a", "b"`}, " b ", " a b ", false},
		{[]string{`W/"a"`}, store.NewVersionSet(), " a ", false},
		{[]string{`"a-gzip", "b-zstd", "c-br", "d-xz"`}, " a b c d-xz ", " a b c d-xz ", false},
		{[]string{``}, "", "", true},
		{[]string{`,`}, "", "", true},
		{[]string{`a`}, "", "", true},
		{[]string{`"a`}, "", "", true},
		{[]string{`"a" "b"`}, "", "", true},
		{[]string{`"a b"`}, "", "", true},
		{[]string{`w/"a"`}, "", "", true},
		{[]string{`"a", *`}, "", "", true},
		{[]string{`*, "a"`}, "", "", true},
		{[]string{`*`, `*`}, "", "", true},
		{[]string{"\"a\x7f\""}, "", "", true},
	} {
		header := http.Header{}
		if c.lines != nil {
			header["If-Match"], header["If-None-Match"] = c.lines, c.lines
		}
		match, err := ifMatch(header)
		if match != c.ifMatch || (err != nil) != c.broken {
			t.Errorf("If-Match %q: got %q, %v", c.lines, match, err)
		}
		noneMatch, err := ifNoneMatch(header)
		if noneMatch != c.ifNoneMatch || (err != nil) != c.broken {
			t.Errorf("If-None-Match %q: got %q, %v", c.lines, noneMatch, err)
		}
	}
}

func TestIfMatchOfAnEntryThatHasNoETag(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/cache/k", nil)
	r.Header.Set("If-Match", `"1"`)
	answered, err := new(Server).checkConditions(&exchange{w: w, r: r}, engine.Answer{Entry: new(engine.Entry)}, new(representations), statusMiss)
	if !answered || err != nil || w.Code != 412 || !strings.Contains(w.Body.String(), "the entry has no ETag yet") || w.Header().Get("Etag") != "" {
		t.Errorf("%v, %v, %d, %s", answered, err, w.Code, w.Body)
	}
}
