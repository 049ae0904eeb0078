package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const (
	asJSON     = "\nContent-Type: application/json\n\n"
	preferRepr = "\nPrefer: return=representation"
	applied    = "Preference-Applied: return=representation\n"
)

// represented is the answer to a write of the key with the content of the entry.
func represented(key, contentType, preference, policy, body string, isCreated bool) string {
	status, cacheControl, location := "200 OK\n", "Cache-Control: no-cache\n", ""
	if isCreated {
		status, cacheControl, location = "201 Created\n", "", "Location: /cache/"+key+"\n"
	}
	return status + cacheControl + fmt.Sprintf("Content-Length: %d\n", len(body)) + "Content-Location: /cache/" + key + "\n" + policy +
		"Content-Type: " + contentType + "\nEtag: \"<etag>\"\n" + location + preference + "X-Content-Type-Options: nosniff\n\n" + body
}

func TestPreferRepresentation(t *testing.T) {
	run(t, sitetest.New(t, "methods GET POST PUT DELETE"), []step{
		{"a number", "POST /cache/n" + preferRepr + asJSON + `{"value": 1.50}`, represented("n", "application/json", applied, "", `{"key":"n","value":1.50}`, true)},
		{"a string", "POST /cache/s" + preferRepr + asJSON + `{"value": "\u0061\/"}`, represented("s", "application/json", applied, "", `{"key":"s","value":"a/"}`, true)},
		{"a form", "POST /cache/f" + preferRepr + "\nContent-Type: application/x-www-form-urlencoded\n\nvalue=a+b", represented("f", "application/json", applied, "", `{"key":"f","value":"a b"}`, true)},
		{"the key in the body", "POST /cache" + preferRepr + asJSON + `{"key": "a b", "value": null}`, represented("a%20b", "application/json", applied, "", `{"key":"a b","value":null}`, true)},
		{"text", "POST /cache/t" + preferRepr + "\nContent-Type: text/plain\n\nhello", represented("t", "text/plain", applied, "", "hello", true)},
		{"raw", "POST /cache/r?raw" + preferRepr + asJSON + "[1]", represented("r", "application/json", applied, "", "[1]", true)},
		{"no bytes", "PUT /cache/e" + preferRepr + "\nContent-Length: 0\n\n", represented("e", "application/octet-stream", applied, "", "", true)},
		{"what a browser may run", "PUT /cache/h" + preferRepr + "\nContent-Type: text/html\n\n<p>", represented("h", "text/html", applied, "Content-Security-Policy: default-src 'none'; sandbox\n", "<p>", true)},
		{"PUT replaces", "PUT /cache/n" + preferRepr + "\nIf-Match: *" + asJSON + `{"value": 2}`, represented("n", "application/json", applied, "", `{"key":"n","value":2}`, false)},
		{"a conflict", "POST /cache/n" + preferRepr + asJSON + `{"value": 2}`, sitetest.ProblemWith(409, detailConflict, `,"same_value":true`, `Etag: "<etag>"`)},
		{"a condition that fails", "PUT /cache/n" + preferRepr + "\nIf-Match: \"1\"\n\n3", sitetest.Problem(412, detailVersion, `Etag: "<etag>"`)},
		{"minimal, as by default", "PUT /cache/n\nPrefer: return=minimal" + asJSON + `{"value": 3}`, strings.Replace(replaced, "X-Content", "Preference-Applied: return=minimal\nX-Content", 1)},
		{"the answers were not kept", "GET /cache/n", "200 OK\nCache-Control: no-cache\nCache-Status: redis_proxy; fwd=uri-miss; stored\nContent-Length: 21\nContent-Type: application/json\nEtag: \"<etag>\"\nX-Content-Type-Options: nosniff\n\n" + `{"key":"n","value":3}`},
		{"reading prefers nothing", "GET /cache/t" + preferRepr, "200 OK\nCache-Control: no-cache\nCache-Status: redis_proxy; fwd=uri-miss; stored\nContent-Length: 5\nContent-Type: text/plain\nEtag: \"<etag>\"\nX-Content-Type-Options: nosniff\n\nhello"},
		{"what is deleted has no representation", "DELETE /cache/n" + preferRepr, "204 No Content\n\n"},
	})
}

func TestRespondWithRepresentation(t *testing.T) {
	s := sitetest.New(t, "methods POST PUT DELETE\nrespond_with representation\nkey_prefix tenant/")
	run(t, s, []step{
		{"the key has no prefix", "POST /cache/k" + asJSON + `{"value": 1}`, represented("k", "application/json", "", "", `{"key":"k","value":1}`, true)},
		{"PUT", "PUT /cache/k" + asJSON + `{"value": 2}`, represented("k", "application/json", "", "", `{"key":"k","value":2}`, false)},
		{"the client decides", "POST /cache/l\nPrefer: return=minimal\n\nv", created + "l\nPreference-Applied: return=minimal\n\n"},
		{"DELETE", "DELETE /cache/k", "204 No Content\n\n"},
	})
}

// The representation is the same as that of a GET.
func TestRepresentationIsThatOfGET(t *testing.T) {
	s := sitetest.New(t, "respond_with representation")
	for i, write := range []string{
		asJSON + `{"value": {"a" : [1, "\u00e9", null]}}`, asJSON + `{"value": "line\nfeed \ud83d\ude00"}`, asJSON + `{"value": "` + strings.Repeat("x", 3000) + `"}`,
		"\nContent-Type: image/svg+xml\n\n<svg/>", "\nContent-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("y", 3000), "\n\n\x00\xff",
	} {
		at := fmt.Sprintf(" /cache/k%d", i)
		answer, read := s.Send("POST"+at+write), s.Send("GET"+at)
		_, answered, _ := strings.Cut(answer, "\n\n")
		if !strings.HasPrefix(answer, "201 ") || !sitetest.HasBody(read, answered) {
			t.Errorf("the write got\n%s\nthe read got\n%s", answer, read)
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Security-Policy", "X-Content-Type-Options"} {
			if a, b := lineOf(answer, name), lineOf(read, name); a != b {
				t.Errorf("the write got %q, the read %q", a, b)
			}
		}
	}
}

func lineOf(answer, name string) string {
	head, _, _ := strings.Cut(answer, "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		if strings.HasPrefix(line, name+": ") {
			return line
		}
	}
	return ""
}

func TestPreferences(t *testing.T) {
	s := sitetest.New(t, "methods GET PUT")
	for lines, want := range map[string]string{
		"return=representation":                                          "return=representation",
		"Return = Representation":                                        "return=representation",
		`return="representation"`:                                        "return=representation",
		"respond-async, wait=10, return=representation; a=b":             "return=representation",
		`x="a,return=minimal", return=representation`:                    "return=representation",
		"return=representation, return=minimal":                          "return=representation",
		"wait=10\nPrefer: return=minimal\nPrefer: return=representation": "return=minimal",
		"return=nothing":                                                 "",
		"return=nothing, return=representation":                          "",
		"return":                                                         "",
		"return=":                                                        "",
		"return; x=representation":                                       "",
		"returns=representation":                                         "",
		"representation":                                                 "",
		",, ,":                                                           "",
		`"`:                                                              "",
		`return="`:                                                       "",
	} {
		answer := s.Send("PUT /cache/k\nPrefer: " + lines + "\n\nv")
		if got := strings.TrimPrefix(lineOf(answer, "Preference-Applied"), "Preference-Applied: "); got != want {
			t.Errorf("%s: got %q, want %q", lines, got, want)
		}
		if hasBody := strings.HasSuffix(answer, "\n\nv"); hasBody != strings.HasSuffix(want, "representation") {
			t.Errorf("%s:\n%s", lines, answer)
		}
	}
}
