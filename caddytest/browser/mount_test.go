package browser

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"
)

// signIn answers requests for a name and a password, as a person would.
func signIn(p *page) {
	handle := true
	events := chromedp.Events(p.ctx, fetch.AuthRequired)
	paused := chromedp.Events(p.ctx, fetch.RequestPaused)
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &handle})
		return err
	}))
	go func() {
		for event, err := range events {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(p.ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{
				RequestID: event.RequestID,
				AuthChallengeResponse: &fetch.AuthChallengeResponse{
					Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: "ops", Password: "secret",
				},
			})
		}
	}()
	go func() {
		for event, err := range paused {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(p.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: event.RequestID})
		}
	}()
}

func TestBehindTheSitesAuthentication(t *testing.T) {
	// Of the password secret. Caddy's own hashes take a second each to compare, several
	// with the race detector, and the page asks more often than that.
	const hash = "$2a$04$Fm77uNlBpwH/pxhlnXejBe0RLSRoChi1zswea5FIHtQ8ucHhRn75e"
	s := serve(t, `
	redis_proxy
	basic_auth /ops/* {
		ops `+hash+`
	}
	redis_proxy_dashboard /ops/*`)
	for path, want := range map[string]int{
		"/ops/": 401, "/ops/app.js": 401, "/ops/caches": 401, "/OPS/caches": 401, "/ops//caches": 401, "/ops/x/../caches": 401,
		"/ops": 308, "/ops/.": 404, "/ops/caches/..": 404, "/ops/caches/%2e%2e": 404, "/ops/caches/a/keys/b/../../../..": 404,
	} {
		if resp, body := s.do("GET", path, ""); resp.StatusCode != want || body != "" {
			t.Errorf("%s without a password: %d %q, want %d", path, resp.StatusCode, body, want)
		}
	}
	p := open(t, s.url+"/ops/", signIn)
	p.untilText("#state", "Embedded store")
	p.untilText("#next", "The store holds no keys.")
}

func TestMounts(t *testing.T) {
	for _, c := range []struct{ name, directive, base string }{
		{"an inline matcher", "redis_proxy_dashboard /ops/*", "/ops"},
		{"a prefix in two segments", "redis_proxy_dashboard /a/ops/*", "/a/ops"},
		{"handle_path", "handle_path /ops/* {\n redis_proxy_dashboard\n}", "/ops"},
		{"handle_path without a slash", "handle_path /ops* {\n redis_proxy_dashboard\n}", "/ops"},
		{"handle with the prefix", "handle /ops/* {\n redis_proxy_dashboard {\n path_prefix /ops\n }\n}", "/ops"},
		{"a named matcher", "@in path /ops /ops/*\n redis_proxy_dashboard @in {\n path_prefix /ops\n}", "/ops"},
		{"the root", "redis_proxy_dashboard", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, "handle /cache* {\n redis_proxy\n}\n"+c.directive)
			s.create("a/b", "1")
			resp, body := s.do("GET", c.base+"/", "")
			if resp.StatusCode != 200 || !strings.Contains(body, "<h1>redis_proxy</h1>") {
				t.Errorf("the page: %d %.80q", resp.StatusCode, body)
			}
			resp, body = s.do("GET", c.base+"/caches", "")
			if resp.StatusCode != 200 || !strings.HasPrefix(body, `{"caches":[{"id":"cache.`) {
				t.Fatalf("the caches: %d %.80q", resp.StatusCode, body)
			}
			id := body[len(`{"caches":[{"id":"`):][:len("cache.12345678")]
			if resp, body = s.do("GET", c.base+"/caches/"+id+"/keys/a%2Fb", ""); resp.StatusCode != 200 || !strings.Contains(body, `"value":1`) {
				t.Errorf("a key: %d %q", resp.StatusCode, body)
			}
			if resp, body = s.do("GET", c.base+"/nothing", ""); resp.StatusCode != 404 || !strings.Contains(body, `"error":`) {
				t.Errorf("nothing: %d %q", resp.StatusCode, body)
			}
			for _, method := range []string{"DELETE", "POST", "PUT", "OPTIONS"} {
				for _, path := range []string{"/", "/caches", "/caches/" + id + "/keys?confirm=cache", "/caches/" + id + "/local"} {
					if resp, _ = s.do(method, c.base+path, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
						t.Errorf("%s %s: %d with Allow %q, want 405", method, path, resp.StatusCode, resp.Header.Get("Allow"))
					}
				}
			}
			if resp, body = s.do("HEAD", c.base+"/", ""); resp.StatusCode != 200 || body != "" {
				t.Errorf("HEAD: %d %q", resp.StatusCode, body)
			}
			// Caddy's own pattern /ops/* does not match /ops.
			if c.base != "" && !strings.Contains(c.directive, "handle_path /ops/*") && !strings.Contains(c.directive, "handle /ops/*") {
				segment := c.base[strings.LastIndex(c.base, "/")+1:]
				if resp, _ = s.do("GET", c.base, ""); resp.StatusCode != 308 || resp.Header.Get("Location") != "./"+segment+"/" {
					t.Errorf("without the slash: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
				}
			}
			if resp, body = s.do("GET", "/cache/a%2Fb", ""); resp.StatusCode != 200 || body != `{"key":"a/b","value":1}` {
				t.Errorf("the cache beside it: %d %q", resp.StatusCode, body)
			}
		})
	}
}

// TestAdminEndpointAsItIs shows the case that docs/dashboard.md warns of.
func TestAdminEndpointAsItIs(t *testing.T) {
	addr := freeAddr(t)
	serve(t, "redis_proxy", "admin "+addr)
	// A refused page names no icon, so the browser may look for one by itself.
	p := open(t, "http://"+addr+"/redis_proxy/", func(p *page) { p.expect("403", "/favicon.ico") })
	p.untilText("body", `{"error":"client is not allowed to access from origin ''"}`)
}

// TestAdminEndpoint opens the page at Caddy's admin endpoint. Caddy refuses every page that a
// browser opens by its address, unless its origins include the empty one.
func TestAdminEndpoint(t *testing.T) {
	addr := freeAddr(t)
	s := serve(t, "redis_proxy", "admin "+addr+" {\n origins "+addr+` ""`+"\n}")
	s.create("a", "1")
	p := open(t, "http://"+addr+"/redis_proxy/")
	p.untilText("#next", "a json")
	p.untilText("#keys", "1 of 10,000")
}
