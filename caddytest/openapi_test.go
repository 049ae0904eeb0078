package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// described is a client that checks every request and answer against docs/openapi.yaml. It
// remembers the operations and statuses that it has seen.
type described struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
	next   http.RoundTripper
	seen   map[string]bool
}

func newDescribed(t *testing.T, s *server) *described {
	t.Helper()
	for _, contentType := range []string{"image/svg+xml", "text/html", "text/css", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(contentType, openapi3filter.FileBodyDecoder)
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
	doc, err := openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "http://" + s.http}}
	for path, item := range doc.Paths.Map() {
		if strings.HasPrefix(path, "/redis_proxy/") {
			item.Servers = openapi3.Servers{{URL: "http://" + s.admin}}
		}
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &described{t: t, doc: doc, router: router, next: s.plain.Transport, seen: make(map[string]bool)}
}

func (d *described) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if err != nil {
		return nil, err
	}

	r.Body = io.NopCloser(bytes.NewReader(body))
	d.check(r, resp, answer)
	return resp, nil
}

// decodeLines decodes JSON values, one a line.
func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	decoder := json.NewDecoder(body)
	var lines []any
	for {
		var line any
		switch err := decoder.Decode(&line); err {
		case nil:
			lines = append(lines, line)
		case io.EOF:
			return lines, nil
		default:
			return nil, err
		}
	}
}

// check checks an answer, whose body was read, against the description.
func (d *described) check(r *http.Request, resp *http.Response, answer []byte) {
	what := fmt.Sprintf("%s %s: %d %q", r.Method, r.URL, resp.StatusCode, answer)
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
		return
	}
	d.seen[fmt.Sprintf("%s %s %d", route.Method, route.Path, resp.StatusCode)] = true
	request := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(r.Context(), request); err != nil {
			d.t.Errorf("%s: the request was answered, and is not described: %v", what, err)
		}
	}
	if route.Operation.Responses.Status(resp.StatusCode) == nil {
		d.t.Errorf("%s: the status is not described", what)
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request,
		Status:                 resp.StatusCode,
		Header:                 resp.Header,
		Body:                   io.NopCloser(bytes.NewReader(answer)),
	})
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
	}
}

// slow sends requests whose bodies never arrive, to a server that waits only a moment.
func (d *described) slow(s *server, site string, requests ...string) {
	d.t.Helper()
	var config map[string]any
	if err := json.Unmarshal(s.config(site, ""), &config); err != nil {
		d.t.Fatal(err)
	}
	for _, server := range config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
		server.(map[string]any)["read_timeout"] = "300ms"
	}
	impatient, err := json.Marshal(config)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := caddy.Load(impatient, true); err != nil {
		d.t.Fatal(err)
	}
	s.settle()
	for _, what := range requests {
		method, path, _ := strings.Cut(what, " ")
		r, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+s.http+path, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		var resp *http.Response
		// On a busy machine the time may be over before the headers have arrived.
		eventually(d.t, what+" is answered", func() bool {
			conn, err := net.Dial("tcp", s.http)
			if err != nil {
				d.t.Fatal(err)
			}
			d.t.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", method, path, s.http)
			resp, err = http.ReadResponse(bufio.NewReader(conn), r)
			return err == nil
		})
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout {
			d.t.Errorf("%s: %s, %q, %v", what, resp.Status, answer, err)
		}
		d.check(r, resp, answer)
	}
}

// unseen lists the described operations and statuses that did not occur. A 500 may be
// missing, since no request is known to cause one, and so may the 503 of /serving, which comes
// when Caddy stops: caddytest/binary has it.
func (d *described) unseen() []string {
	var all []string
	for path, item := range d.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if what := method + " " + path + " " + status; !d.seen[what] && status != "500" && !strings.HasSuffix(what, " /serving 503") {
					all = append(all, what)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestTheServerDoesWhatItsDescriptionSays causes every operation and every status in
// docs/openapi.yaml.
func TestTheServerDoesWhatItsDescriptionSays(t *testing.T) {
	redis := redistest.Start(t)
	const all = "GET HEAD POST PUT DELETE"
	site := func(methods, timeout string) string {
		return "redis_proxy_health\nredis_proxy {\nstore " + redis.URL() + "\nmethods " + methods + "\nlisting\nwatch 1\nmax_value_size 1KiB\nredis_timeout " + timeout + "\n}"
	}
	s := startAdmin(t, site(all, "10m"))
	d := newDescribed(t, s)
	client := &http.Client{Transport: d, Timeout: patience}
	at, admin := "http://"+s.http+"/cache", "http://"+s.admin+"/redis_proxy/"
	send := func(status int, method, url, body string, headers ...string) answer {
		t.Helper()
		a := do(t, client, request{method, url, body, headers})
		a.expectStatus(t, status)
		return a
	}
	public := func(status int, method, path, body string, headers ...string) answer {
		t.Helper()
		return send(status, method, at+path, body, headers...)
	}
	asJSON := []string{"Content-Type", "application/json"}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	text := []string{"Content-Type", "text/plain"}
	crossSite := []string{"Sec-Fetch-Site", "cross-site"}
	large := strings.Repeat("x", 1025)

	public(201, "POST", "/text", `{"value": "world"}`, asJSON...)
	public(201, "POST", "/form", "value=world", form...)
	public(201, "POST", "/number", `{"value": 42}`, asJSON...)
	public(201, "POST", "/logo", "<svg/>", "Content-Type", "image/svg+xml")
	public(201, "POST", "/a%2Fb?raw", "[1]", asJSON...)
	public(201, "POST", "", `{"key": "named", "value": null}`, asJSON...)
	public(201, "POST", "", "key=named2&value=1", form...)
	represented := []string{"Prefer", "return=representation"}
	public(201, "POST", "", `{"key": "represented", "value": {"a": 1}}`, append(asJSON, represented...)...)
	public(201, "POST", "/represented2", "<svg/>", append(represented, "Content-Type", "image/svg+xml")...)
	public(200, "PUT", "/represented2", "value=1", append(form, represented...)...)
	public(200, "POST", "", `{"key": "bulk", "value": [1]}
{"key": "bulk", "value": 1}
{"op": "get", "key": "bulk"}
{"op": "put", "key": "bulk", "base64": "AAEC", "content_type": "image/png", "if_none_match": "\"1\""}
{"op": "get", "key": "bulk"}
{"op": "delete", "key": "bulk", "if_match": "*"}
`, "Content-Type", "application/x-ndjson")
	for _, path := range []string{"/text", ""} {
		public(400, "POST", path, "{", asJSON...)
		public(403, "POST", path, `{"key": "text", "value": 1}`, append(asJSON, crossSite...)...)
		public(409, "POST", path, `{"key": "text", "value": 1}`, asJSON...)
		public(413, "POST", path, large, asJSON...)
		public(415, "POST", path, "{}", append(asJSON, "Content-Encoding", "gzip")...)
	}

	tag := public(200, "GET", "/text", "").Header.Get("Etag")
	for _, path := range []string{"/text", "/text?raw", "/number", "/number?raw", "/logo", "/logo?raw", "/a%2Fb"} {
		public(200, "GET", path, "")
		public(200, "HEAD", path, "")
	}
	public(206, "GET", "/logo", "", "Range", "bytes=0-2")
	public(304, "GET", "/text", "", "If-None-Match", tag)
	public(304, "HEAD", "/text", "", "If-None-Match", tag)
	public(404, "GET", "/absent", "")
	public(404, "HEAD", "/absent", "")
	public(416, "GET", "/logo", "", "Range", "bytes=9-")
	for _, method := range []string{"GET", "HEAD"} {
		public(400, method, "/%00", "")
		public(412, method, "/text", "", "If-Match", `"1"`)
		public(504, method, "/form", "", "Cache-Control", "only-if-cached")
		public(504, method, "?key=form", "", "Cache-Control", "only-if-cached")
	}
	public(200, "GET", "?key=text&key=logo&key=absent", "")
	public(200, "HEAD", "?key=text", "")
	public(200, "HEAD", "?watch", "")
	public(406, "HEAD", "?watch", "", "Accept", "text/html")
	public(406, "GET", "?watch", "", "Accept", "text/html")
	public(400, "GET", "?limit=0", "")
	public(400, "HEAD", "?limit=0", "")
	if page := public(200, "GET", "?prefix=na&limit=1", ""); !strings.Contains(page.body, "cursor") {
		t.Error(page.body)
	}
	public(200, "GET", "", "")
	public(200, "HEAD", "", "")
	public(204, "OPTIONS", "", "")
	public(204, "OPTIONS", "/text", "")

	public(201, "PUT", "/put", "1", text...)
	public(200, "PUT", "/put", `{"value": 2}`, asJSON...)
	public(400, "PUT", "/put", "{", asJSON...)
	public(403, "PUT", "/put", "1", crossSite...)
	public(412, "PUT", "/put", "1", "If-Match", `"1"`)
	public(413, "PUT", "/put", large, text...)
	public(415, "PUT", "/put", "1", "Content-Encoding", "gzip")
	public(400, "DELETE", "/put", "", "If-Match", "broken")
	public(403, "DELETE", "/put", "", crossSite...)
	public(412, "DELETE", "/put", "", "If-Match", `"1"`)
	public(204, "DELETE", "/put", "")
	public(404, "DELETE", "/put", "")
	public(400, "DELETE", "", "")
	public(403, "DELETE", "?prefix=put", "", crossSite...)
	public(200, "DELETE", "?prefix=put", "")

	cache := admin + s.cache()
	for _, path := range []string{admin, admin + "app.js", admin + "style.css"} {
		page := send(200, "GET", path, "")
		send(304, "GET", path, "", "If-None-Match", page.Header.Get("Etag"))
	}
	send(404, "GET", admin+"none.js", "")
	send(404, "HEAD", admin+"none.js", "")
	for _, path := range []string{admin, admin + "app.js", admin + "caches", cache, cache + "/keys", cache + "/keys/text", admin + "live", admin + "ready"} {
		send(200, "HEAD", path, "")
		send(204, "OPTIONS", path, "")
	}
	send(204, "OPTIONS", cache+"/local", "")
	send(204, "OPTIONS", cache+"/local/text", "")
	send(404, "OPTIONS", admin+"none.js", "")
	send(200, "GET", admin+"caches", "")
	send(200, "GET", cache, "")
	send(200, "GET", cache+"/keys?limit=2&order=valued", "")
	send(200, "GET", cache+"/keys", "")
	for _, method := range []string{"GET", "HEAD"} {
		for _, query := range []string{"limit=0", "order=up", "cursor=x"} {
			send(400, method, cache+"/keys?"+query, "")
		}
		send(400, method, cache+"/keys/text?value_limit=x", "")
	}
	for _, key := range []string{"text", "number", "logo", "a%2Fb", "named"} {
		send(200, "GET", cache+"/keys/"+key, "")
		send(200, "GET", cache+"/keys/"+key+"?value_limit=1", "")
	}
	send(404, "GET", cache+"/keys/absent", "")
	send(200, "DELETE", cache+"/keys/form", "")
	send(404, "DELETE", cache+"/keys/form", "")
	send(204, "DELETE", cache+"/local/text", "")
	send(204, "DELETE", cache+"/local", "")
	send(200, "DELETE", cache+"/keys?prefix=named", "")
	send(200, "DELETE", cache+"/keys?confirm=cache", "")
	send(400, "DELETE", cache+"/keys", "")
	ofCache := func(status int, name string) {
		t.Helper()
		for _, what := range []string{
			"GET ", "GET /keys", "GET /keys/k", "HEAD ", "HEAD /keys", "HEAD /keys/k",
			"OPTIONS ", "OPTIONS /keys", "OPTIONS /keys/k", "OPTIONS /local", "OPTIONS /local/k",
			"DELETE /keys?prefix=k", "DELETE /keys/k", "DELETE /local", "DELETE /local/k",
		} {
			method, path, _ := strings.Cut(what, " ")
			send(status, method, admin+"caches/"+name+path, "")
		}
	}
	ofCache(404, "none")
	send(200, "GET", admin+"live", "")
	send(200, "GET", admin+"ready", "")
	onSite := "http://" + s.http
	for _, path := range []string{"/live", "/serving", "/ready"} {
		send(200, "GET", onSite+path, "")
		send(200, "HEAD", onSite+path, "")
	}
	s.reload(site(all, "10m") + "\nredis_proxy /embedded/*") // of the same namespace
	ofCache(409, "cache")

	s.reload(site(all, "300ms"))
	redis.Pause()
	for _, what := range []string{"GET ?key=k", "GET /k", "HEAD ?key=k", "HEAD /k", "PUT /k", "DELETE /k", "GET ?prefix=k", "HEAD ?prefix=k", "DELETE ?prefix=k"} {
		method, path, _ := strings.Cut(what, " ")
		public(503, method, path, "")
	}
	for _, path := range []string{"/k", ""} {
		public(503, "POST", path, `{"key": "k", "value": 1}`, asJSON...)
	}
	for _, what := range []string{"GET /keys", "GET /keys/k", "HEAD /keys", "HEAD /keys/k", "DELETE /keys?prefix=k", "DELETE /keys/k"} {
		method, path, _ := strings.Cut(what, " ")
		send(503, method, cache+path, "")
	}
	send(503, "GET", admin+"ready", "")
	send(503, "HEAD", admin+"ready", "")
	eventually(t, "the site is not ready", func() bool { return get(t, s.plain, onSite+"/ready").StatusCode == 503 })
	send(503, "GET", onSite+"/ready", "")
	send(503, "HEAD", onSite+"/ready", "")
	send(200, "GET", admin+"caches", "")
	redis.Resume()

	s.reload(site("HEAD", "10m"))
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		public(405, method, "/k", "")
	}
	for _, method := range []string{"GET", "POST", "DELETE"} {
		public(405, method, "", "")
	}

	s.reload(site("GET", "10m"))
	public(405, "HEAD", "/k", "")
	public(405, "HEAD", "", "")

	d.slow(s, site(all, "10m"), "POST /cache", "POST /cache/k", "PUT /cache/k")

	for _, what := range d.unseen() {
		t.Errorf("docs/openapi.yaml describes %s, which never came", what)
	}
}
