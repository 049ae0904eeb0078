package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// originOf serves an empty page, and returns its origin.
func originOf(t testing.TB, headers ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><title>A page</title>`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// openBeside opens the page of an origin. Its scripts may ask s, and get errors from it.
func openBeside(t testing.TB, origin string, s *site) *page {
	t.Helper()
	return open(t, origin+"/", func(p *page) {
		p.mayAsk = s.url + "/"
		p.expect("has been blocked by CORS policy", "Failed to load resource")
	})
}

// fetched is what a script gets to know of an answer. Its error is set if it gets nothing.
type fetched struct {
	Status  int
	Headers map[string]string
	Body    string
	Error   string
}

// fetch lets a script of the page send a request.
func (p *page) fetch(method, url, body string, headers ...string) fetched {
	p.t.Helper()
	return p.fetchWith("omit", method, url, body, headers...)
}

func (p *page) fetchWith(credentials, method, url, body string, headers ...string) fetched {
	p.t.Helper()
	options := object{"method": method, "headers": object{}, "cache": "no-store", "credentials": credentials}
	for i := 0; i < len(headers); i += 2 {
		options["headers"].(object)[headers[i]] = headers[i+1]
	}
	if body != "" {
		options["body"] = body
	}
	given, err := json.Marshal(options)
	if err != nil {
		p.t.Fatal(err)
	}
	return eval[fetched](p, fmt.Sprintf(`fetch(%q, %s).then(
		async (r) => ({Status: r.status, Headers: Object.fromEntries(r.headers), Body: await r.text()}),
		(e) => ({Error: String(e)}))`, url, given))
}

// expectFetched checks the status of what a script got.
func (p *page) expectFetched(f fetched, status int, body string) {
	p.t.Helper()
	if f.Status != status || f.Error != "" || !strings.Contains(f.Body, body) {
		p.t.Errorf("the script got %+v, want %d %q", f, status, body)
	}
}

// expectRefused checks that a script got nothing.
func (p *page) expectRefused(f fetched) {
	p.t.Helper()
	if !strings.Contains(f.Error, "Failed to fetch") {
		p.t.Errorf("the script got %+v", f)
	}
}

func TestPageOfATrustedOrigin(t *testing.T) {
	first, second := originOf(t), originOf(t)
	trusted := "trusted_origins " + first + " " + second
	s := serve(t, "redis_proxy {\n methods GET HEAD POST PUT DELETE\n "+trusted+"\n}\n"+
		"redis_proxy /down/* {\n store redis://127.0.0.1:1\n redis_timeout 50ms\n "+trusted+"\n}")
	for _, origin := range []string{first, second} {
		p := openBeside(t, origin, s)
		at := s.url + "/cache/k"
		const asJSON = "application/json"

		created := p.fetch("POST", at, `{"value": 1}`, "Content-Type", asJSON)
		p.expectFetched(created, 201, "")
		tag := created.Headers["etag"]
		if tag == "" || created.Headers["location"] != "/cache/k" {
			t.Errorf("the script got the headers %v", created.Headers)
		}
		p.expectFetched(p.fetch("POST", at, `{"value": 2}`, "Content-Type", asJSON), 409, `"same_value":false`)
		read := p.fetch("GET", at, "", "Cache-Control", "no-cache")
		p.expectFetched(read, 200, `{"key":"k","value":1}`)
		if got := read.Headers["cache-status"]; got != "redis_proxy; fwd=request; stored" {
			t.Errorf("Cache-Status is %q", got)
		}
		p.expectFetched(p.fetch("HEAD", at, ""), 200, "")
		p.expectFetched(p.fetch("GET", at, "", "If-None-Match", tag), 304, "")
		p.expectFetched(p.fetch("GET", s.url+"/cache?key=k&key=none", ""), 200, `"absent":["none"]`)

		replaced := p.fetch("PUT", at, `{"value": 2}`, "Content-Type", asJSON, "If-Match", tag, "Prefer", "return=representation")
		p.expectFetched(replaced, 200, `{"key":"k","value":2}`)
		if got := replaced.Headers["preference-applied"]; got != "return=representation" {
			t.Errorf("Preference-Applied is %q", got)
		}
		p.expectFetched(p.fetch("PUT", at, "3", "If-Match", tag), 412, "the entry has another version")
		p.expectFetched(p.fetch("DELETE", at, "", "If-Match", tag), 412, "the entry has another version")
		p.expectFetched(p.fetch("DELETE", at, "", "If-Match", replaced.Headers["etag"]), 204, "")
		p.expectFetched(p.fetch("GET", at, ""), 404, "no entry has this key")

		busy := p.fetch("GET", s.url+"/down/k", "")
		p.expectFetched(busy, 503, `"status":503`)
		if busy.Headers["retry-after"] != "1" {
			t.Errorf("the script got the headers %v", busy.Headers)
		}
		p.expectRefused(p.fetch("PUT", s.url+"/down/k", "v")) // it is off, says the preflight
		p.expectRefused(p.fetch("GET", at, "", "X-Other", "1"))
	}
}

func TestPagesOfOtherOrigins(t *testing.T) {
	s := serve(t, "redis_proxy {\n methods GET HEAD POST PUT DELETE\n trusted_origins https://app.example.com\n}")
	s.create("secret", `"x"`)
	for _, headers := range [][]string{
		nil,
		{"Content-Security-Policy", "sandbox allow-scripts"}, // its origin is null
	} {
		p := openBeside(t, originOf(t, headers...), s)
		p.expectRefused(p.fetch("GET", s.url+"/cache/secret", ""))
		p.expectRefused(p.fetch("GET", s.url+"/cache/none", ""))
		p.expectRefused(p.fetch("PUT", s.url+"/cache/secret", "y"))
		p.expectRefused(p.fetch("DELETE", s.url+"/cache/secret", ""))
		p.expectRefused(p.fetch("POST", s.url+"/cache/new", "y", "Content-Type", "text/plain")) // is sent without a preflight
		p.expectRefused(p.fetchWith("include", "GET", s.url+"/cache/secret", ""))
	}
	if _, body := s.do("GET", "/cache/secret?raw", ""); body != "x" {
		t.Errorf("the value became %q", body)
	}
	if resp, body := s.do("GET", "/cache/new", ""); resp.StatusCode != 404 {
		t.Errorf("a page of another origin wrote %q", body)
	}
}

// A preflight carries no password, and basic_auth runs before redis_proxy. docs/secure.md
// has these lines.
func TestPageThatSendsAPassword(t *testing.T) {
	const hash = "$2a$04$Fm77uNlBpwH/pxhlnXejBe0RLSRoChi1zswea5FIHtQ8ucHhRn75e" // of secret
	origin := originOf(t)
	s := serve(t, `
	@guarded not method OPTIONS
	basic_auth @guarded {
		app `+hash+`
	}
	redis_proxy {
		methods GET HEAD POST PUT DELETE
		trusted_origins `+origin+`
	}`)
	p := openBeside(t, origin, s)
	at := s.url + "/cache/k"
	password := []string{"Authorization", "Basic YXBwOnNlY3JldA=="}
	p.expectFetched(p.fetch("PUT", at, "v", password...), 201, "")
	p.expectFetched(p.fetch("GET", at, "", password...), 200, "v")
	p.expectFetched(p.fetch("DELETE", at, "", append(password, "If-Match", `"1"`)...), 412, "another version")
	p.expectRefused(p.fetch("GET", at, ""))
	p.expectRefused(p.fetch("GET", at, "", "Authorization", "Basic YXBwOndyb25n"))
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"} {
		if resp, _ := s.do(method, "/cache/k", "", "Origin", origin, "Access-Control-Request-Method", "GET"); resp.StatusCode != 401 {
			t.Errorf("%s without a password: %d", method, resp.StatusCode)
		}
	}
}

// Cookies do not tell ports apart, so the page and the cache share them.
func TestPageThatSendsCookies(t *testing.T) {
	for setting, isAllowed := range map[string]bool{"": false, "trusted_credentials": true} {
		t.Run(setting, func(t *testing.T) {
			origin := strings.Replace(originOf(t), "127.0.0.1", "localhost", 1)
			s := serve(t, "redis_proxy {\n key_prefix {http.request.cookie.tenant}/\n trusted_origins "+origin+"\n "+setting+"\n}")
			if resp, body := s.do("POST", "/cache/k", "of a", "Cookie", "tenant=a"); resp.StatusCode != 201 {
				t.Fatal(resp.Status, body)
			}
			p := openBeside(t, origin, s)
			eval[string](p, `document.cookie = "tenant=a"`)
			p.expectFetched(p.fetch("GET", s.url+"/cache/k", ""), 400, "http.request.cookie.tenant")
			got := p.fetchWith("include", "GET", s.url+"/cache/k", "")
			if !isAllowed {
				p.expectRefused(got)
				return
			}
			p.expectFetched(got, 200, "of a")
			p.expectFetched(p.fetchWith("include", "POST", s.url+"/cache/l", `{"value":1}`, "Content-Type", "application/json"), 201, "")
		})
	}
}
