package docs

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// failing is a cache that answers as a test says.
type failing struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []http.HandlerFunc // to the requests to come, the last one to all further ones
	requests []string           // "METHOD path", and the body
	at       []time.Time
}

func newFailing(t *testing.T) *failing {
	f := new(failing)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.requests = append(f.requests, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+"\n"+string(body)))
		f.at = append(f.at, time.Now())
		answer := f.answers[0]
		if len(f.answers) > 1 {
			f.answers = f.answers[1:]
		}
		f.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(f.CloseClientConnections)
	t.Cleanup(f.Close)
	return f
}

// then says how the next requests are answered.
func (f *failing) then(answers ...http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers, f.requests, f.at = answers, nil, nil
}

// got returns the requests that came since then, and when they came.
func (f *failing) got() ([]string, []time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests, f.at
}

// count checks how many requests came.
func (f *failing) count(t *testing.T, want int) {
	t.Helper()
	if got, _ := f.got(); len(got) != want {
		t.Errorf("got %d requests, want %d: %q", len(got), want, got)
	}
}

// sent checks the keys of each bulk request that came, of one letter each.
func (f *failing) sent(t *testing.T, want []string) {
	t.Helper()
	var sent []string
	requests, _ := f.got()
	for _, request := range requests {
		keys := ""
		for _, part := range strings.Split(request, `"key":`)[1:] {
			keys += strings.Trim(part, ` "`)[:1]
		}
		sent = append(sent, keys)
	}
	if !slices.Equal(sent, want) {
		t.Errorf("sent the lines %q, want %q", sent, want)
	}
}

func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func cutConnection(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cutAnswer answers with half of a text of known length.
func cutAnswer(text string) http.HandlerFunc {
	return cutChunks(text, "Content-Length", fmt.Sprint(len(text)))
}

func cutChunks(text string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer(200, text[:len(text)/2], headers...)(w, r)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// cutUnnoticed answers with half of a text as a proxy with HTTP/1.0 may: the end of the
// connection is the end of the answer, so only the text shows that it is cut.
func cutUnnoticed(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the client gets an empty answer
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"+text[:len(text)/2])
	}
}

// unavailable is the 503 of a cache.
func unavailable(retryAfter string) http.HandlerFunc {
	return answer(503, `{"title":"Service Unavailable","status":503,"detail":"the write may have been applied"}`, "Retry-After", retryAfter)
}

func useFailingCache(t *testing.T, l language) {
	f := newFailing(t)
	c := clientOf(t, l, f.URL+"/cache", l.short, l.long, l.quiet, l.brief, l.most, strings.Replace(l.most, "30", "1", 1))

	const get, post = "GET /cache/k%2F1", "POST /cache/k%2F1\n"
	t.Run("cache-aside computes the value", func(t *testing.T) {
		computed := []string{"computing", "5"}
		f.then(answer(404, "{}"), answer(409, `{"same_value":false}`))
		c.expect(t, computed, "get_or_compute", "k/1", "5")
		f.count(t, 2)
		for _, fails := range []http.HandlerFunc{unavailable("0"), cutConnection} {
			f.then(fails)
			c.expect(t, computed, "get_or_compute", "k/1", "5")
			requests, _ := f.got()
			for _, request := range requests { // Go itself may repeat a GET on a connection that was cut
				if request != get {
					t.Errorf("got %q", request)
				}
			}
			f.then(answer(404, "{}"), fails)
			c.expect(t, computed, "get_or_compute", "k/1", "5")
		}
	})
	t.Run("a write that may have been applied is repeated", func(t *testing.T) {
		f.then(unavailable("1"), answer(409, `{"same_value":true}`))
		c.expect(t, []string{"true"}, "create", "k/1", "5")
		requests, at := f.got()
		if len(requests) != 2 || !strings.HasPrefix(requests[1], post) || requests[0] != requests[1] {
			t.Errorf("got %q", requests)
		} else if at[1].Sub(at[0]) < time.Second {
			t.Errorf("got requests at %v, in spite of Retry-After", at)
		}
		f.then(cutConnection, answer(409, `{"same_value":true}`))
		c.expect(t, []string{"true"}, "create", "k/1", "5")
	})
	t.Run("tries are bounded", func(t *testing.T) {
		f.then(unavailable("0"))
		c.fails(t, "503", "create", "k/1", "5")
		f.count(t, 4)
	})
	t.Run("a dot is no key", func(t *testing.T) {
		f.then(answer(400, "{}"))
		for _, key := range []string{".", ".."} {
			for _, call := range [][]string{{"create", key, "5"}, {"get_or_compute", key, "5"}, {"update", key}, {"bytes", key, "00", "image/png"}} {
				c.all(t, "\n", call...)
			}
			c.fails(t, "", "create", key, "5")
		}
		requests, _ := f.got()
		if l.name != "go" && len(requests) > 0 {
			t.Errorf("got %q", requests)
		}
		for _, request := range requests { // net/http does not resolve it
			if _, path, _ := strings.Cut(request, " "); !strings.HasPrefix(path, "/cache/.") {
				t.Errorf("got %q", request)
			}
		}
	})
	t.Run("a value that is not Unicode is computed, and not stored", func(t *testing.T) {
		if l.name == "python" { // the others write such a text as Unicode
			f.then(answer(404, "{}"))
			c.expect(t, []string{"computing", `"\ud800"`}, "get_or_compute", "k/1", `"\ud800"`)
			f.count(t, 1)
		}
	})
	t.Run("a wait is bounded", func(t *testing.T) {
		// The driver's client waits for a second at most.
		f.then(unavailable("Wed, 21 Oct 2099 07:28:00 GMT"), unavailable("99999"), unavailable("-1"), answer(201, "{}"))
		c.expect(t, []string{"true"}, "create", "k/1", "5")
		f.count(t, 4)
	})
	t.Run("a raw value is none of cache-aside", func(t *testing.T) {
		for _, raw := range []string{"[1]", "7", `"value"`, "null", "{}", "text"} {
			f.then(answer(200, raw))
			c.expect(t, []string{"computing", "5"}, "get_or_compute", "k/1", "5")
			f.count(t, 1)
		}
	})
	t.Run("a conditional write is not repeated", func(t *testing.T) {
		f.then(answer(200, `{"key":"k/1","value":1}`, "ETag", `"123456789"`), unavailable("0"))
		r := c.start(t, "update", "k/1")
		r.prints("changing 1")
		r.writes("")
		if line, _ := r.next(); !strings.HasPrefix(line, "failed:") || !strings.Contains(line, "503") {
			t.Errorf("printed %q", line)
		}
		f.count(t, 2)
	})
	t.Run("after a 412, the store is read", func(t *testing.T) {
		entry := func(value string) http.HandlerFunc {
			return answer(200, `{"key":"k/1","value":`+value+`}`, "ETag", `"00000000`+value+`"`)
		}
		asked := make(chan string, 2)
		f.then(
			entry("1"),
			answer(412, "{}"),
			func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Header.Get("Cache-Control")
				entry("2")(w, r)
			},
			func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Header.Get("If-Match")
				entry("3")(w, r)
			})
		r := c.start(t, "update", "k/1")
		r.writes("")
		r.writes("")
		r.prints("changing 1", "changing 2", "3")
		if read, condition := <-asked, <-asked; read != "no-cache" || condition != `"000000002"` {
			t.Errorf("it read with Cache-Control %q, and wrote with If-Match %q", read, condition)
		}
	})
	t.Run("lines without success are sent again", func(t *testing.T) {
		f.then(
			answer(200, `{"key":"a","status":201}
{"line":2,"key":"b","status":503,"detail":"…"}
{"line":3,"key":"c","status":503,"detail":"…","ended":true}
`),
			func(w http.ResponseWriter, r *http.Request) {
				answer(200, `{"key":"b","status":201}`+"\n")(w, r)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) // the other answers are lost
			},
			answer(200, `{"line":1,"key":"c","status":409,"same_value":true}
{"key":"d","status":201}
`))
		var lines []string
		for _, key := range []string{"a", "b", "c", "d"} {
			lines = append(lines, `{"op": "create", "key": "`+key+`", "value": 1}`)
		}
		if got := c.all(t, strings.Join(lines, "\n")+"\n", "bulk"); !slices.Equal(got, []string{"201", "201", "409", "201"}) {
			t.Errorf("printed %q", got)
		}
		f.sent(t, []string{"abcd", "bcd", "cd"})
	})
	t.Run("an answer line that is cut is no answer", func(t *testing.T) {
		lines := `{"op":"put","key":"a","value":1}
{"op":"put","key":"b","value":1}
`
		answers := `{"status":200}
{"status":204,"of_key":"b"}
` // half of it ends in the second line
		for name, fails := range map[string]http.HandlerFunc{"in chunks": cutChunks(answers), "by HTTP/1.0": cutUnnoticed(answers)} {
			f.then(fails, answer(200, `{"status":204}`+"\n"))
			if got := c.all(t, lines, "bulk"); !slices.Equal(got, []string{"200", "204"}) {
				t.Errorf("%s: printed %q", name, got)
			}
			f.sent(t, []string{"ab", "b"})
		}
	})
	t.Run("lines of one key are repeated in their order", func(t *testing.T) {
		lines := `{"op":"put","key":"k","value":1}
{"op":"put","key":"k","value":2}
{"op":"put","key":"c","value":1}
{"op":"put","key":"c","value":2,"if_match":"x"}
{"op":"put","key":"o","value":1}
`
		f.then(
			answer(200, `{"status":503}
{"status":200}
{"status":503}
{"status":503}
{"status":200}
`),
			func(w http.ResponseWriter, r *http.Request) {
				answer(200, `{"status":200}`+"\n")(w, r)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) // the newer value is not known to be there
			},
			answer(200, `{"status":204}`+"\n"))
		if got := c.all(t, lines, "bulk"); !slices.Equal(got, []string{"200", "204", "503", "503", "200"}) {
			t.Errorf("printed %q", got)
		}
		f.sent(t, []string{"kkcco", "kk", "k"})
	})
	t.Run("a request waits for the one before", func(t *testing.T) {
		lines := strings.Repeat(`{"op":"put","key":"k","value":1}`+"\n", 1001)
		f.then(unavailable("0"))
		if got := c.all(t, lines, "bulk"); len(got) != 1002 || !strings.HasPrefix(got[1001], "failed:") || !strings.Contains(got[1001], "503") {
			t.Errorf("printed %d lines: %q", len(got), got[len(got)-1])
		}
		size := 1000
		if l.name == "python" {
			size = 100
		}
		f.sent(t, slices.Repeat([]string{strings.Repeat("k", size)}, 4))
	})
	t.Run("without an answer, bulk fails", func(t *testing.T) {
		line := `{"op":"put","key":"k","value":1}` + "\n"
		for _, fails := range []struct {
			answer http.HandlerFunc
			lines  string
		}{{cutConnection, line}, {answer(400, "{}"), line}, {unavailable("0"), strings.Replace(line, "}", `,"if_none_match":"*"}`, 1)}} {
			f.then(fails.answer)
			if got := c.all(t, fails.lines, "bulk"); len(got) != 2 || got[0] != "none" || !strings.HasPrefix(got[1], "failed:") {
				t.Errorf("printed %q", got)
			}
		}
		f.count(t, 1)
	})
	t.Run("reads of many entries and of bytes are repeated", func(t *testing.T) {
		entries := `{"entries":[{"key":"a","value":1},{"key":"b","value":"` + strings.Repeat("b", 1000) + `"}],"absent":[]}`
		for _, fails := range []http.HandlerFunc{unavailable("0"), cutConnection, cutAnswer(entries), cutChunks(entries)} {
			f.then(fails, answer(200, entries))
			if got := c.all(t, "", "get_many", "a", "b"); len(got) != 2 || got[0] != "a 1" {
				t.Errorf("printed %q", got)
			}
			text := strings.Repeat("b", 1000)
			f.then(answer(201, ""), fails, answer(200, text, "Content-Type", "image/png"), answer(404, "{}"))
			c.expect(t, []string{hex.EncodeToString([]byte(text)) + " image/png None"}, "bytes", "k", "00", "image/png")
		}
	})
	t.Run("a write of bytes is repeated with its bytes", func(t *testing.T) {
		f.then(unavailable("0"), answer(201, ""), answer(200, "x", "Content-Type", "image/png"), answer(404, "{}"))
		c.expect(t, []string{"78 image/png None"}, "bytes", "k", "787980", "image/png")
		if requests, _ := f.got(); len(requests) != 4 || requests[0] != "PUT /cache/k\nxy\x80" || requests[1] != requests[0] {
			t.Errorf("got %q", requests)
		}
		if l.name == "python" {
			f.then(unavailable("0"), answer(201, ""))
			c.fails(t, "bytes", "put_file", "k", "driver.py")
			f.count(t, 0)
		}
	})
	t.Run("all languages write the same JSON", func(t *testing.T) {
		f.then(answer(201, "{}"))
		c.expect(t, []string{"true"}, "create", "k/1", `[1, {"é": "ü"}]`)
		if requests, _ := f.got(); !strings.HasSuffix(requests[0], `
{"value":[1,{"é":"ü"}]}`) {
			t.Errorf("got %q", requests)
		}
	})
	t.Run("the example computes its price", func(t *testing.T) {
		for _, fails := range []http.HandlerFunc{unavailable("0"), cutConnection, answer(502, "a proxy fails")} {
			f.then(fails)
			c.startProgram(t, "example").prints("4158")
		}
	})
	t.Run("a raw value is not changed", func(t *testing.T) {
		for _, raw := range []string{`{"name":"someone","stock":5}`, `{"value":5,"x":1}`, `{"key":"other","value":5}`, `{"KEY":"k/1","VALUE":5}`, `{"key":"k/1"}`, "[1]", "7", "null", "text"} {
			f.then(answer(200, raw, "ETag", `"1"`), answer(200, ""))
			got := c.all(t, "\n", "update", "k/1")
			if len(got) != 1 || !strings.HasPrefix(got[0], "failed: ") {
				t.Errorf("%s: printed %q", raw, got)
			}
			f.count(t, 1)
		}
	})
	t.Run("a body that paused is sent again", func(t *testing.T) {
		f.then(
			answer(200, `{"status":200}
{"line":2,"key":"k","status":408,"detail":"…","ended":true}
`),
			answer(200, `{"status":200}
{"status":204}
`))
		lines := `{"op":"put","key":"a","value":1}
{"op":"put","key":"k","value":1}
{"op":"put","key":"k","value":2}
`
		if got := c.all(t, lines, "bulk"); !slices.Equal(got, []string{"200", "200", "204"}) {
			t.Errorf("printed %q", got)
		}
		f.sent(t, []string{"akk", "kk"})
	})
	useFailingWatch(t, l, f, c)
}
