package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

const hintLine = `; expected one object a line, {"op": …, "key": …, "value": …}, where op is create (as without op), put, delete or get`

const bulkHead = "200 OK\nCache-Control: no-store\nContent-Type: application/x-ndjson\nX-Content-Type-Options: nosniff\n\n"

// sendBulk sends lines, and returns those of the answer, with <etag> for ETags.
func sendBulk(t *testing.T, s *sitetest.Site, lines ...string) []string {
	t.Helper()
	answer := s.Send("POST /cache\nContent-Type: application/x-ndjson\n\n" + strings.Join(lines, "\n"))
	return answersOf(t, answer)
}

// answersOf returns the lines of an answer, with <etag> for ETags.
func answersOf(t *testing.T, answer string) []string {
	t.Helper()
	head, body, _ := strings.Cut(strings.Replace(answer, "\nTransfer-Encoding: chunked", "", 1), "\n\n")
	if head = strings.Join(slices.DeleteFunc(strings.Split(head, "\n"), func(l string) bool { return strings.HasPrefix(l, "Content-Length") }), "\n"); head+"\n\n" != bulkHead {
		t.Errorf("the head is\n%s", head)
	}
	body = sitetest.ETagPattern.ReplaceAllString(strings.ReplaceAll(body, `\"`, `"`), "<etag>")
	return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
}

// bulkStep is a line and its answer.
type bulkStep struct{ line, answer string }

func runBulk(t *testing.T, s *sitetest.Site, steps []bulkStep) {
	t.Helper()
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.line)
	}
	got := sendBulk(t, s, lines...)
	for i, step := range steps {
		want := strings.Replace(step.answer, "{n}", fmt.Sprintf(`{"line":%d,`, i+1), 1)
		if len(got) <= i {
			t.Fatalf("%d lines and %d answers", len(steps), len(got))
		}
		if got[i] != want {
			t.Errorf("%s\n--- got\n%s\n--- want\n%s", step.line, got[i], want)
		}
	}
	if len(got) > len(steps) {
		t.Errorf("%d lines and %d answers, such as %s", len(steps), len(got), got[len(steps)])
	}
}

func TestBulk(t *testing.T) {
	runBulk(t, sitetest.New(t, "methods GET POST PUT DELETE"), []bulkStep{
		{`{"key":"a","value":1}`, `{"key":"a","status":201,"etag":"<etag>"}`},
		{`{"op":"create","key":"a","value":1}`, `{n}"key":"a","status":409,"etag":"<etag>","same_value":true,"detail":"` + detailConflict + `"}`},
		{`{"op":"create","key":"a","value":2}`, `{n}"key":"a","status":409,"etag":"<etag>","same_value":false,"detail":"` + detailConflict + `"}`},
		{`{"op":"get","key":"a"}`, `{"key":"a","status":200,"value":1,"etag":"<etag>"}`},
		{` { "value" : [ 1, "\u00e9", {"a": null} ] , "op" : "put" , "key" : "a" } `, `{"key":"a","status":200,"etag":"<etag>"}`},
		{`{"op":"get","key":"a"}`, `{"key":"a","status":200,"value":[ 1, "\u00e9", {"a": null} ],"etag":"<etag>"}`},
		{`{"op":"put","key":"a","value":"<b>\u00e9\ud83d\ude00</b>\n"}`, `{"key":"a","status":200,"etag":"<etag>"}`},
		{`{"op":"get","key":"a"}`, `{"key":"a","status":200,"value":"<b>é😀</b>\n","etag":"<etag>"}`},
		{`{"op":"put","key":"b","base64":"AAEC/w==","content_type":"image/png"}`, `{"key":"b","status":201,"etag":"<etag>"}`},
		{`{"op":"get","key":"b"}`, `{"key":"b","status":200,"base64":"AAEC/w==","content_type":"image/png","etag":"<etag>"}`},
		{`{"op":"put","key":"c","base64":""}`, `{"key":"c","status":201,"etag":"<etag>"}`},
		{`{"op":"get","key":"c"}`, `{"key":"c","status":200,"base64":"","content_type":"application/octet-stream","etag":"<etag>"}`},
		{`{"op":"put","key":"e","value":""}`, `{"key":"e","status":201,"etag":"<etag>"}`},
		{`{"op":"get","key":"e"}`, `{"key":"e","status":200,"value":"","etag":"<etag>"}`},
		{`{"op":"delete","key":"a"}`, `{"key":"a","status":204}`},
		{`{"op":"delete","key":"a"}`, `{n}"key":"a","status":404,"detail":"no entry has this key, nothing was deleted"}`},
		{`{"op":"get","key":"a"}`, `{n}"key":"a","status":404,"detail":"no entry has this key; POST creates one"}`},
		{`{"key":"\u0061 b/%2F","value":true}`, `{"key":"a b/%2F","status":201,"etag":"<etag>"}`},
	})
}

func TestBulkConditions(t *testing.T) {
	s := sitetest.New(t, "methods GET POST PUT DELETE")
	s.Send("POST /cache/k\n\nv1")
	tag := strings.ReplaceAll(s.ETag, `"`, `\"`)
	s.Send("POST /cache/l\n\nv1")
	runBulk(t, s, []bulkStep{
		{`{"op":"put","key":"k","value":1,"if_match":"\"1\""}`, `{n}"key":"k","status":412,"etag":"<etag>","detail":"` + detailVersion + `"}`},
		{`{"op":"put","key":"k","value":1,"if_match":"W/` + tag + `"}`, `{n}"key":"k","status":412,"etag":"<etag>","detail":"` + strings.ReplaceAll(detailWeak, `"`, `"`) + `"}`},
		{`{"op":"put","key":"k","value":1,"if_none_match":"*"}`, `{n}"key":"k","status":412,"etag":"<etag>","detail":"` + detailVersion + `"}`},
		{`{"op":"put","key":"new","value":1,"if_match":"*"}`, `{n}"key":"new","status":412,"detail":"` + detailNoVersion + `"}`},
		{`{"op":"put","key":"k","value":1,"if_match":"\"1\", ` + tag + `"}`, `{"key":"k","status":200,"etag":"<etag>"}`},
		{`{"op":"put","key":"k","value":1,"if_match":"1"}`, `{n}"key":"k","status":400,"detail":"if_match is neither * nor a list of ETags such as "1a2b3c""}`},
		{`{"op":"delete","key":"l","if_match":"\"1\""}`, `{n}"key":"l","status":412,"etag":"<etag>","detail":"` + detailVersion + `"}`},
		{`{"op":"delete","key":"l","if_match":"*"}`, `{"key":"l","status":204}`},
		{`{"op":"create","key":"l","value":1,"if_none_match":"*"}`, `{"key":"l","status":201,"etag":"<etag>"}`},
		{`{"op":"put","key":"k","value":1,"if_match":""}`, `{n}"key":"k","status":400,"detail":"the field if_match is empty; leave it out, or name an ETag"}`},
		{`{"op":"put","key":"k","value":1,"if_none_match":""}`, `{n}"key":"k","status":400,"detail":"the field if_none_match is empty; leave it out, or name an ETag"}`},
	})
}

func TestALineThatIsWrongSpoilsNoOther(t *testing.T) {
	bad := func(detail string) string { return `{n}"status":400,"detail":"` + detail + `"}` }
	badAt := func(key, detail string) string {
		return `{n}"key":"` + key + `","status":400,"detail":"` + detail + `"}`
	}
	notJSON := func(why string) string { return bad("the line is not valid JSON: " + why + hintLine) }
	long := strings.Repeat("x", 65)
	runBulk(t, sitetest.New(t, "max_value_size 64\nmax_key_size 64"), []bulkStep{
		{`{"key":"first","value":1}`, `{"key":"first","status":201,"etag":"<etag>"}`},
		{`x`, notJSON("invalid character 'x' looking for beginning of value")},
		{`{"key":"k","value":1`, notJSON("unexpected end of JSON input")},
		{`{"key":"k","value":1}}`, notJSON("invalid character '}' after top-level value")},
		{`{"key":"k","value":1,}`, notJSON("invalid character '}' looking for beginning of object key string")},
		{`{"key":"k" "value":1}`, notJSON("invalid character '\"' after object key:value pair")},
		{`{"key":"k","value":01}`, notJSON("invalid character '1' after object key:value pair")},
		{`{"key":"k","value":{"a":]}}`, notJSON("invalid character ']' looking for beginning of value")},
		{"{\"key\":\"k\",\"value\":\"a\tb\"}", notJSON(`invalid character '\\t' in string literal`)},
		{"{\"key\":\"k\",\"value\":\"\xff\"}", notJSON("it is not valid UTF-8")},
		{`[{"key":"k","value":1}]`, bad("the line is not a JSON object" + hintLine)},
		{`{"key":"k","value":1,"colour":2}`, badAt("k", `unknown field "colour"`+hintLine)},
		{`{"Key":"k","value":1}`, bad(`unknown field "Key"` + hintLine)},
		{`{"key":"k","value":1,"v\u0061lue":1}`, badAt("k", "the field value is there twice")},
		{`{"key":"k","key":"j","value":1}`, badAt("k", "the field key is there twice")},
		{`{"key":1,"value":1}`, bad("the field key is not a string")},
		{`{"op":null,"key":"k","value":1}`, bad("the field op is not a string")},
		{`{"op":"post","key":"k","value":1}`, badAt("k", `the op "post" is unknown; write create, put, delete or get`)},
		{`{"value":1}`, bad("the line has no field key" + hintLine)},
		{`{}`, bad("the line has neither value nor base64" + hintLine)},
		{`{"key":"","value":1}`, bad("the key is empty")},
		{`{"key":"a/../b","value":1}`, bad("the key has a . or .. segment, which clients resolve before they send a path")},
		{`{"key":"k\udc00","value":1}`, bad("the field key is not valid Unicode: it has half of a surrogate pair")},
		{`{"key":"k","value":"\ud800"}`, badAt("k", "the field value is not valid Unicode: it has half of a surrogate pair")},
		{`{"key":"k","value":1,"base64":"AA=="}`, badAt("k", "the line has value and base64; send one of them")},
		{`{"key":"k","base64":"AA"}`, badAt("k", "the field base64 is not base64 (RFC 4648, section 4, with padding)")},
		{`{"key":"k","value":1,"content_type":"text/plain"}`, badAt("k", "content_type belongs to base64, and the line has value; send the bytes as base64")},
		{`{"key":"k","base64":"AA==","content_type":"a/b, c/d"}`, badAt("k", "content_type has several types, with a comma between them, and a value has one; send one")},
		{`{"key":"k","base64":"AA==","content_type":"a\nb"}`, badAt("k", "the content type has a control character")},
		{`{"op":"get","key":"k","value":1}`, badAt("k", "a get stores nothing; leave value, base64, content_type and ttl out")},
		{`{"op":"get","key":"k","if_none_match":"*"}`, badAt("k", "a get has no conditions; leave if_match and if_none_match out")},
		{`{"op":"put","key":"k","value":1}`, `{n}"key":"k","status":405,"detail":"PUT is switched off: it is not in ` + "`methods`" + ` in the configuration of redis_proxy"}`},
		{`{"op":"delete","key":"k"}`, `{n}"key":"k","status":405,"detail":"DELETE is switched off: it is not in ` + "`methods`" + ` in the configuration of redis_proxy"}`},
		{`{"key":"k","value":"` + long + `"}`, `{n}"key":"k","status":413,"detail":"the value has more than 64 bytes, the limit that max_value_size sets"}`},
		{`{"key":"k","value":"` + strings.Repeat("x", 1<<15) + `"}`, `{n}"status":413,"detail":"the line is longer than any line with a key and a value within max_key_size and max_value_size"}`},
		{`{"key":"k","value":"` + strings.Repeat("x", 1<<20) + `"}`, `{n}"status":413,"detail":"the line is longer than any line with a key and a value within max_key_size and max_value_size"}`},
		{`{"key":"` + long + `","value":1}`, bad("the key has 65 bytes; max_key_size allows 64")},
		{`{"op":"get","key":"k"}`, `{n}"key":"k","status":404,"detail":"no entry has this key; POST creates one"}`},
		{`{"key":"k","value":"` + long[1:] + `"}`, `{"key":"k","status":201,"etag":"<etag>"}`},
	})
}

func TestBulkLinesHaveLives(t *testing.T) {
	s := sitetest.New(t, "methods GET POST PUT DELETE\nmax_ttl 1h\ndefault_ttl 30m")
	const wrong = `; write a whole number of seconds from 1 to 3600`
	runBulk(t, s, []bulkStep{
		{`{"key":"a","value":1,"ttl":60}`, `{"key":"a","status":201,"etag":"<etag>"}`},
		{`{"op":"put","key":"b","base64":"AA==","ttl":3600}`, `{"key":"b","status":201,"etag":"<etag>"}`},
		{`{"key":"c","value":1}`, `{"key":"c","status":201,"etag":"<etag>"}`},
		{`{"key":"d","value":1,"ttl":0}`, `{n}"key":"d","status":400,"detail":"the ttl is 0` + wrong + `"}`},
		{`{"key":"d","value":1,"ttl":"60"}`, `{n}"key":"d","status":400,"detail":"the ttl is "60"` + wrong + `"}`},
		{`{"key":"d","value":1,"ttl":3601}`, `{n}"key":"d","status":400,"detail":"the ttl is 3601` + wrong + `, the limit that max_ttl sets"}`},
		{`{"key":"d","value":1,"ttl":"none"}`, `{n}"key":"d","status":400,"detail":"the ttl is none` + wrong + `: max_ttl in the configuration of redis_proxy lets every entry expire"}`},
		{`{"key":"d","value":1,"ttl":1,"ttl":2}`, `{n}"key":"d","status":400,"detail":"the field ttl is there twice"}`},
		{`{"op":"delete","key":"d","ttl":1}`, `{n}"key":"d","status":400,"detail":"a delete stores nothing; leave value, base64, content_type and ttl out"}`},
	})
	for key, most := range map[string]time.Duration{"a": time.Minute, "b": time.Hour, "c": 30 * time.Minute} {
		got := s.Send("GET /cache/" + key)
		_, rest, _ := strings.Cut(got, "Expires: ")
		text, _, _ := strings.Cut(rest, "\n")
		at, err := http.ParseTime(text)
		if left := time.Until(at); err != nil || left > most || left < most-sitetest.Patience {
			t.Errorf("%s expires in %v, want %v: %v", key, left, most, err)
		}
	}
}

func TestBulkLinesEndAsLinesDo(t *testing.T) {
	s := sitetest.New(t, "")
	for name, c := range map[string]struct{ body, answers string }{
		"blank lines do not count as operations": {"\n  \r\n{\"key\":\"a\",\"value\":1}\n\n\t\nx\n\n", `{"key":"a","status":201,"etag":"<etag>"}|{"line":6,`},
		"carriage returns":                       {"{\"key\":\"b\",\"value\":1}\r\n{\"key\":\"b2\",\"value\":2}\r\n", `{"key":"b","status":201,"etag":"<etag>"}|{"key":"b2","status":201,"etag":"<etag>"}`},
		"the last line without a line feed":      {"{\"key\":\"c\",\"value\":1}\n{\"key\":\"c\",", `{"key":"c","status":201,"etag":"<etag>"}|{"line":2,`},
	} {
		got := answersOf(t, s.Send("POST /cache\nContent-Type: application/jsonl; charset=utf-8\n\n"+c.body))
		want := strings.Split(c.answers, "|")
		if len(got) != len(want) {
			t.Errorf("%s: got %q", name, got)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: got %q", name, got[i])
			}
		}
	}
	if got := s.Send("POST /cache\nContent-Type: application/x-ndjson\nContent-Length: 0\n\n"); got != strings.Replace(bulkHead, "Content-Type", "Content-Length: 0\nContent-Type", 1) {
		t.Errorf("no lines at all: %s", got)
	}
}

func TestBulkRequestsThatAreRefused(t *testing.T) {
	const ndjson = "\nContent-Type: application/x-ndjson"
	const line = "\n\n{\"key\":\"k\",\"value\":1}\n"
	const needsKey = "the path names no key, so the body must name one: send application/json with the fields key and value, a form with both, or application/x-ndjson with many operations, one a line; send any other value to /cache/{key}"
	const fetched = "cross-origin request detected from Sec-Fetch-Site header; `trusted_origins` in the configuration of redis_proxy allows other origins"
	run(t, sitetest.New(t, ""), []step{
		{"another type", "POST /cache\nContent-Type: text/plain" + line, sitetest.Problem(415, needsKey)},
		{"no type", "POST /cache" + line, sitetest.Problem(415, needsKey)},
		{"?raw", "POST /cache?raw" + ndjson + line, sitetest.Problem(415, needsKey)},
		{"a page elsewhere", "POST /cache\nSec-Fetch-Site: cross-site" + ndjson + line, sitetest.Problem(403, fetched)},
		{"an encoding", "POST /cache\nContent-Encoding: gzip" + ndjson + line, sitetest.Problem(415, "Content-Encoding is not supported; send the body as it is", "Accept-Encoding: identity")},
		{"two types", "POST /cache" + ndjson + ndjson + line, sitetest.Problem(400, "the request has 2 Content-Type lines, and a value has one type; send one")},
		{"a condition for all", "POST /cache\nIf-None-Match: *" + ndjson + line, sitetest.Problem(400, "If-None-Match is for one entry, and this request may name many; write conditions into the lines, as if_match and if_none_match")},
		{"a life for all", "POST /cache?ttl=60" + ndjson + line, sitetest.Problem(400, "the query has a ttl, and this request may name many entries; write it into the lines")},
		{"another method in the query", "POST /cache?_method=PUT" + ndjson + line, sitetest.Problem(400, `the parameter _method asks for the method "PUT", but the request is a POST; send it with the method that you mean`)},
		{"nothing was created", "GET /cache/k", sitetest.Problem(404, detailAbsent, statusAbsent)},
		{"with a key it is a value", "POST /cache/k" + ndjson + line, created + "k\n\n"},
	})
	run(t, sitetest.New(t, "methods GET PUT"), []step{
		{"POST is off", "POST /cache" + ndjson + line, sitetest.Problem(405, "POST is switched off: it is not in `methods` in the configuration of redis_proxy", "Allow: GET, OPTIONS")},
	})
}

func TestBulkLinesOfATenantNameNoKeysOfOthers(t *testing.T) {
	h := sitetest.Handler(t, "key_prefix {http.request.header.Tenant}/")
	s := sitetest.Serve(t, h)
	bulk := func(tenant, line string) string {
		return answersOf(t, strings.Replace(s.Send("POST /cache\nTenant: "+tenant+"\nContent-Type: application/x-ndjson\n\n"+line), "Vary: Tenant\n", "", 1))[0]
	}
	for _, c := range []struct{ tenant, line, want string }{
		{"a", `{"key":"k","value":{"of":"a"}}`, `{"key":"k","status":201,"etag":"<etag>"}`},
		{"b", `{"op":"get","key":"k"}`, `{"line":1,"key":"k","status":404,"detail":"no entry has this key; POST creates one"}`},
		{"b", `{"key":"k","value":"b"}`, `{"key":"k","status":201,"etag":"<etag>"}`},
		{"a", `{"op":"get","key":"k"}`, `{"key":"k","status":200,"value":{"of":"a"},"etag":"<etag>"}`},
		{"a", `{"op":"get","key":"a/../b/k"}`, `{"line":1,"status":400,"detail":"the key has a . or .. segment, which clients resolve before they send a path"}`},
	} {
		if got := bulk(c.tenant, c.line); got != c.want {
			t.Errorf("%s: %s\n--- got\n%s\n--- want\n%s", c.tenant, c.line, got, c.want)
		}
	}
}
