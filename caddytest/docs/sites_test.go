package docs

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// visit is a request to a site on a page, with the expected answer.
type visit struct {
	name    string
	request string // "METHOD URL", then "Name: value" a line, then an empty line and the body
	want    int    // the status; 0 if there is no answer
	has     string // "Name: value" of a header, or a part of the body
}

const (
	app      = "\nAuthorization: Basic YXBwOnNlY3JldA==" // app:secret
	ops      = "\nAuthorization: Basic b3BzOnNlY3JldA==" // ops:secret
	reader   = "\nAuthorization: Bearer read"
	writer   = "\nAuthorization: Bearer write"
	asJSON   = "\nContent-Type: application/json\n\n"
	form     = "\nContent-Type: application/x-www-form-urlencoded\n\n"
	fromPage = "\nOrigin: https://app.example.com\nSec-Fetch-Site: cross-site"
	fromElse = "\nOrigin: https://evil.example\nSec-Fetch-Site: cross-site"

	absent = "no entry has this key"
)

// The visits show the claims of the pages about their sites, by page and heading. If a heading
// has several sites, they come in their order.
var sites = map[string][][]visit{
	"README.md#caddy-redis-proxy": {{
		{"the cache", "GET https://example.com/cache/k", 404, absent},
		{"the rest of the site", "GET https://example.com/", 502, ""},
	}},
	"README.md#look-inside": {dashboardVisits},
	"docs/dashboard.md#on-a-site": {dashboardVisits, {
		{"the page", "GET http://localhost:2020/", 200, "<html"},
	}},
	"docs/dashboard.md#on-the-admin-endpoint": {{
		{"by its address", "GET http://localhost:2019/redis_proxy/", 200, "<html"},
		{"from its own origin", "GET http://localhost:2019/redis_proxy/caches\nOrigin: http://localhost:2019", 200, `{"caches":[`},
		{"from another one", "GET http://localhost:2019/redis_proxy/caches\nOrigin: https://evil.example", 403, ""},
	}},
	"docs/directive.md#the-directive-and-its-json": {{
		{"the cache", "GET https://example.com/cache/k", 404, absent},
	}},
	"docs/directive.md#the-url-of-redis": {{
		{"the cache", "GET https://example.com/cache/k", 404, absent},
	}},
	"docs/eviction.md#eviction":      {{{"the cache", "GET https://example.com/cache/k", 404, absent}}},
	"docs/eviction.md#local-answers": {{{"the cache", "GET https://example.com/cache/k", 404, absent}}},
	"docs/nodes.md#which-requests-go-where": {{
		{"the nodes, which are not there", "GET https://example.com/cache/k", 503, ""},
	}},
	"docs/health.md#a-stop-without-errors": {{
		{"it is ready", "GET https://example.com/health/ready", 200, `"ready":true`},
		{"it lives", "GET https://example.com/health/live", 200, `"live":true`},
		{"the cache", "GET https://example.com/cache/k", 404, absent},
	}},
	"docs/health.md#in-public": {{
		{"without a password", "GET http://localhost:8081/ready", 200, `"ready":true`},
		{"on the guarded site", "GET https://example.com/ready", 401, ""},
		{"the cache", "GET https://example.com/cache/k" + app, 404, absent},
	}, {
		{"it lives", "GET https://example.com/live", 200, `"live":true`},
		{"it serves", "GET https://example.com/serving", 200, `"serving":true`},
	}},
	"docs/metrics.md#keys-in-caddys-own-lines": {{{"the cache", "GET https://example.com/cache/k", 404, absent}}},
	"docs/original.md#clients-without-a-change": {{
		{"create", "POST https://cache.example.com/hello" + asJSON + `{"value": "world"}`, 201, `{"key":"hello","value":"world"}`},
		{"read", "GET https://cache.example.com/hello", 200, `{"key":"hello","value":"world"}`},
		{"again", "POST https://cache.example.com/hello" + asJSON + `{"value": "other"}`, 409, "same_value"},
		{"it stayed", "GET https://cache.example.com/hello", 200, `{"key":"hello","value":"world"}`},
		{"absent", "GET https://cache.example.com/nothing", 404, absent},
	}},
	"docs/scale.md#partitions": {{{"the servers, which are not there", "GET https://example.com/cache/k", 503, ""}}},
	"docs/secure.md#passwords": {passwordVisits},
	"docs/secure.md#bearer-tokens": {{
		{"no token", "GET https://example.com/cache/k", 401, ""},
		{"an empty one", "GET https://example.com/cache/k\nAuthorization: Bearer ", 401, ""},
		{"another one", "GET https://example.com/cache/k\nAuthorization: Bearer no", 401, ""},
		{"the reader writes", "POST https://example.com/cache/k" + reader + form + "value=v", 401, ""},
		{"the reader writes with the key in the body", "POST https://example.com/cache" + reader + form + "key=k&value=v", 401, ""},
		{"the writer writes", "POST https://example.com/cache/k" + writer + form + "value=v", 201, ""},
		{"the reader reads", "GET https://example.com/cache/k" + reader, 200, `"value":"v"`},
		{"the writer reads", "GET https://example.com/cache/k" + writer, 200, `"value":"v"`},
		{"the reader deletes", "DELETE https://example.com/cache/k" + reader, 401, ""},
		{"the writer deletes", "DELETE https://example.com/cache/k" + writer, 204, ""},
	}},
	"docs/secure.md#client-certificates": {{
		{"with one", "GET https://cache.example.com/cache/k", 404, absent},
		{"without", "GET https://cache.example.com/cache/k" + noCertificate, 0, ""},
	}},
	"docs/secure.md#pages-of-another-origin": {{
		{"the browser asks before", "OPTIONS https://example.com/cache/k" + fromPage + "\nAccess-Control-Request-Method: POST", 204, "Access-Control-Allow-Origin: https://app.example.com"},
		{"the page writes", "POST https://example.com/cache/k" + fromPage + form + "value=v", 201, "Access-Control-Allow-Origin: https://app.example.com"},
		{"a page of the other origin", "GET https://example.com/cache/k\nOrigin: https://admin.example.com", 200, "Access-Control-Allow-Origin: https://admin.example.com"},
		{"a page from elsewhere writes", "POST https://example.com/cache/l" + fromElse + form + "value=v", 403, ""},
	}, {
		{"the browser asks before", "OPTIONS https://example.com/cache/k" + fromPage + "\nAccess-Control-Request-Method: POST", 204, "Access-Control-Allow-Origin: https://app.example.com"},
		{"the collection", "OPTIONS https://example.com/cache" + fromPage + "\nAccess-Control-Request-Method: POST", 204, "Access-Control-Max-Age: 7200"},
		{"for a page from elsewhere", "OPTIONS https://example.com/cache/k" + fromElse + "\nAccess-Control-Request-Method: POST", 204, "Allow: GET, HEAD, POST, OPTIONS"},
		{"without a password", "GET https://example.com/cache/k" + fromPage, 401, ""},
		{"nor to write", "POST https://example.com/cache/k" + fromPage + form + "value=v", 401, ""},
		{"the page writes", "POST https://example.com/cache/k" + app + fromPage + form + "value=v", 201, "Access-Control-Allow-Origin: https://app.example.com"},
		{"the page reads", "GET https://example.com/cache/k" + app + fromPage, 200, "Vary: Origin"},
		{"a page from elsewhere writes", "POST https://example.com/cache/l" + app + fromElse + form + "value=v", 403, ""},
	}},
	"docs/secure.md#redis": {
		{{"the cache", "GET https://example.com/cache/k", 404, absent}},
		{{"with the password apart", "GET https://example.com/cache/k", 404, absent}},
	},
	"docs/sites.md#where-to-put-it": {slices.Concat(cacheVisits, []visit{
		{"the rest", "GET https://example.com/cached", 200, ""},
	})},
	"docs/sites.md#an-application": {besideApp, besideApp},
	"docs/sites.md#a-single-page-application": {slices.Concat(cacheVisits, []visit{
		{"the page", "GET https://example.com/", 200, "the app"},
		{"a path of the page's own", "GET https://example.com/some/where", 200, "the app"},
		{"a file", "GET https://example.com/page.html", 200, "upper"},
	})},
	"docs/sites.md#php": {besideApp},
	"docs/sites.md#templates": {slices.Concat(cacheVisits, []visit{
		{"a page", "GET https://example.com/page.html", 200, "A PAGE"},
		{"a value that looks like one", "POST https://example.com/cache/t\nContent-Type: text/plain\n\n{{env \"APP_PASSWORD\"}}", 201, ""},
		{"is not executed", "GET https://example.com/cache/t", 200, `{{env "APP_PASSWORD"}}`},
		{"nor in JSON", "POST https://example.com/cache/j\nContent-Type: application/json\n\n{\"value\": \"{{env `APP_PASSWORD`}}\"}", 201, ""},
		{"read alone", "GET https://example.com/cache/j?raw", 200, "{{env `APP_PASSWORD`}}"},
	})},
	"docs/sites.md#below-another-prefix": {
		{
			{"create", "POST https://example.com/api/cache/a" + form + "value=v", 201, "Location: /api/cache/a"},
			{"the key in the body", "POST https://example.com/api/cache" + form + "key=b/c&value=v", 201, "Location: /api/cache/b/c"},
			{"read", "GET https://example.com/api/cache/b/c", 200, `"value":"v"`},
			{"a key that is cleaned", "GET https://example.com/api/cache/b//c", 400, "the key as sent is unknown"},
			{"the rest", "GET https://example.com/api/other", 502, ""},
		},
		{
			{"create", "POST https://example.com/api/cache/a//b" + form + "value=v", 201, "Location: /api/cache/a//b"},
			{"the key in the body", "POST https://example.com/api/cache" + form + "key=c//d&value=v", 201, "Location: /api/cache/c//d"},
			{"read", "GET https://example.com/api/cache/c//d", 200, `"value":"v"`},
			{"another key", "GET https://example.com/api/cache/c/d", 404, absent},
			{"the rest", "GET https://example.com/api/other", 502, ""},
		},
		{
			{"create", "POST https://example.com/cache/a//b" + form + "value=v", 201, "Location: /cache/a//b"},
			{"another key", "GET https://example.com/cache/a/b", 404, absent},
			{"the key in the body", "POST https://example.com/cache" + form + "key=c&value=v", 201, "Location: /cache/c"},
			{"a longer name", "GET https://example.com/cached", 200, ""},
			{"the rest", "GET https://example.com/other", 502, ""},
		},
	},
	"docs/sites.md#a-site-of-its-own": {{
		{"create", "POST https://cache.example.com/hello" + form + "value=v", 201, "Location: /hello"},
		{"the key in the body", "POST https://cache.example.com/" + form + "key=cache/k&value=v", 201, "Location: /cache/k"},
		{"read", "GET https://cache.example.com/cache/k", 200, `"value":"v"`},
		{"several", "GET https://cache.example.com/?key=hello", 200, `"key":"hello"`},
	}},
	"docs/tenants.md#tenants": {{
		{"one writes", "POST https://a.example.com/cache/k" + form + "value=a", 201, "Location: /cache/k"},
		{"one reads", "GET https://a.example.com/cache/k", 200, `{"key":"k","value":"a"}`},
		{"another reads", "GET https://b.example.com/cache/k", 404, absent},
		{"in another spelling", "GET https://A.example.com/cache/k", 404, absent},
		{"with a port", "GET https://a.example.com/cache/k\nHost: a.example.com:8443", 200, `"value":"a"`},
	}},
	"docs/tenants.md#what-keeps-tenants-apart": {{
		{"one writes", "POST https://example.com/cache/k\nHost: a.example.com" + form + "value=a", 201, "Location: /cache/k"},
		{"in another spelling", "GET https://example.com/cache/k\nHost: A.example.com", 200, `{"key":"k","value":"a"}`},
		{"another reads", "GET https://example.com/cache/k\nHost: b.example.com", 404, absent},
		{"an unknown one", "GET https://example.com/cache/k\nHost: c.example.com", 400, "tenant"},
	}},
}

// cacheVisits are visits of a site with a cache under /cache.
var cacheVisits = []visit{
	{"create", "POST https://example.com/cache/a" + form + "value=v", 201, "Location: /cache/a"},
	{"the key in the body", "POST https://example.com/cache" + form + "key=b//c&value=v", 201, "Location: /cache/b//c"},
	{"read", "GET https://example.com/cache/b//c", 200, `"value":"v"`},
	{"several", "GET https://example.com/cache?key=a", 200, `"key":"a"`},
	{"one that is not there", "GET https://example.com/cache/k", 404, absent},
}

// besideApp are visits of a cache beside an application that does not run.
var besideApp = slices.Concat(cacheVisits, []visit{
	{"the application", "GET https://example.com/some/where", 502, ""},
	{"a path that only begins like the cache", "GET https://example.com/cached", 502, ""},
})

var passwordVisits = []visit{
	{"no password", "GET https://example.com/cache/k", 401, ""},
	{"a wrong one", "GET https://example.com/cache/k\nAuthorization: Basic YXBwOndyb25n", 401, ""},
	{"to write with the key in the body", "POST https://example.com/cache" + form + "key=k&value=v", 401, ""},
	{"with the password", "POST https://example.com/cache" + app + form + "key=k&value=v", 201, ""},
	{"to read", "GET https://example.com/cache/k" + app, 200, `"value":"v"`},
}

var dashboardVisits = []visit{
	{"no password", "GET https://example.com/ops/", 401, ""},
	{"no password for the figures", "GET https://example.com/ops/caches", 401, ""},
	{"with the password", "GET https://example.com/ops/" + ops, 200, "<html"},
	{"the figures", "GET https://example.com/ops/caches" + ops, 200, `{"caches":[`},
	{"it cannot change anything", "DELETE https://example.com/ops/caches/x/local" + ops, 405, ""},
	{"the cache", "GET https://example.com/cache/k", 404, absent},
}

// noCertificate in a request means that the client shows no certificate.
const noCertificate = "\nX-Without-Certificate: 1"

// The sites on the pages behave as the pages say. TestCommandsDoWhatPagesSay covers the sites
// that are written to files.
func TestSitesDoWhatPagesSay(t *testing.T) {
	password := hashOf(t, "secret")
	used := make(map[string]int)
	for _, page := range pages(t) {
		for _, b := range pageBlocks(t, page) {
			if b.language != "caddyfile" || b.file != "" || syntax.MatchString(b.text()) {
				continue
			}
			key := page + "#" + b.under
			n := used[key]
			used[key]++
			if n >= len(sites[key]) {
				t.Errorf("%s, line %d: nobody visits this site; see sites", page, b.line)
				continue
			}
			t.Run(fmt.Sprint(key, " ", n), func(t *testing.T) {
				t.Parallel()
				redis := redistest.Start(t)
				// The user of docs/redis.md, for the sites that name it.
				if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "cache", "on", ">p#ss/w@rd", "~*", "&*", "+@all").Err(); err != nil {
					t.Fatal(err)
				}
				s := runSite(t, b.text(), "REDIS_URL="+redis.URL(), "REDIS_PASSWORD=p#ss/w@rd", "READ_TOKEN=read", "WRITE_TOKEN=write", "APP_PASSWORD=secret",
					"APP_PASSWORD_HASH="+password, "OPS_PASSWORD_HASH="+password)
				for _, v := range sites[key][n] {
					s.visit(t, v)
				}
			})
		}
	}
	for key, visits := range sites {
		if used[key] != len(visits) {
			t.Errorf("%s has %d sites, and visits for %d", key, used[key], len(visits))
		}
	}
	t.Run("templates beside the handle of the cache", func(t *testing.T) {
		s := runSite(t, "example.com {\n\ttemplates\n\t@cache path /cache /cache/*\n\thandle @cache {\n\t\tredis_proxy\n\t}\n}", "APP_PASSWORD=secret")
		s.visit(t, visit{"a value", "POST https://example.com/cache/t\nContent-Type: text/plain\n\n{{env \"APP_PASSWORD\"}}", 201, ""})
		s.visit(t, visit{"is executed, as pages warn", "GET https://example.com/cache/t", 200, "secret"})
	})
	t.Run("tokens that are not set", func(t *testing.T) {
		for _, b := range pageBlocks(t, "docs/secure.md") {
			if b.under == "bearer-tokens" {
				s := runSite(t, b.text(), "READ_TOKEN=", "WRITE_TOKEN=write")
				s.visit(t, visit{"the empty token", "GET https://example.com/cache/k\nAuthorization: Bearer ", 500, "not configured"})
			}
		}
	})
}

func hashOf(t *testing.T, password string) string {
	t.Helper()
	// The same hash as on the pages, but faster to check.
	out, err := exec.Command(builtCaddy(t), "hash-password", "--bcrypt-cost", "10", "--plaintext", password).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (s *site) visit(t *testing.T, v visit) {
	t.Helper()
	head, body, _ := strings.Cut(s.ports.replace(v.request), "\n\n")
	lines := strings.Split(head, "\n")
	method, url, _ := strings.Cut(lines[0], " ")
	client := s.client
	var resp *http.Response
	var got []byte
	var err error
	// Wait until the site runs and has its certificate.
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, e := http.NewRequest(method, url, strings.NewReader(body))
		if e != nil {
			t.Fatal(e)
		}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, value)
		}
		if host := r.Header.Get("Host"); host != "" {
			r.Host = host
		}
		if r.Header.Get("X-Without-Certificate") != "" {
			client = s.withoutCertificate(t)
		}
		resp, err = client.Do(r)
		if err == nil {
			got, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil || v.want == 0 || time.Now().After(deadline) {
			break
		}
		select {
		case <-s.ended:
			t.Fatal("Caddy has ended")
		case <-tick.C:
		}
	}
	switch {
	case v.want == 0 && err == nil:
		t.Errorf("%s: answered with %d", v.name, resp.StatusCode)
		return
	case v.want == 0:
		return
	case err != nil:
		t.Fatalf("%s: %v", v.name, err)
	}
	name, value, isHeader := strings.Cut(v.has, ": ")
	if resp.StatusCode != v.want || !strings.Contains(string(got), v.has) && !(isHeader && resp.Header.Get(name) == value) {
		t.Errorf("%s: %s\ngot %d, want %d with %q\n%v\n%s", v.name, lines[0], resp.StatusCode, v.want, v.has, resp.Header, got)
	}
}
