package docs

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// streams answers with a text of events. It tells ids with which id each request came.
func streams(ids chan<- string, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ids <- r.Header.Get("Last-Event-ID")
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
}

// useFailingWatch watches a cache that fails.
func useFailingWatch(t *testing.T, l language, f *failing, c *client) {
	t.Run("a watch comes back", func(t *testing.T) {
		ids := make(chan string, 10)
		done := make(chan struct{})
		f.then(
			unavailable("1"),
			answer(502, "a proxy fails"),
			answer(504, "a proxy waited"),
			streams(ids, ": a comment\nretry: 1000\nid: x-6\n\nevent: created\ndata: {\"key\":\"é\"}\nid: x-7\n\n"),
			cutConnection,
			streams(ids, "event: reset\ndata: {}\nid: y-1\n\n"),
			func(w http.ResponseWriter, r *http.Request) {
				streams(ids, "event: deleted\ndata: {\"key\":\"b\"}\nid: y-2\n\n")(w, r)
				<-done
			})
		defer close(done)
		r := c.start(t, "watch", "")
		r.prints("reset", "created é", "reset", "deleted b")
		for _, want := range []string{"", "x-7", "y-1"} {
			if got := <-ids; got != want {
				t.Errorf("came with the id %q, want %q", got, want)
			}
		}
		f.then(answer(400, `{"detail":"watching is switched off"}`))
		c.fails(t, "400", "watch", "")
	})
	t.Run("a watch leaves a silent cache", func(t *testing.T) {
		left := make(chan struct{})
		key := strings.Repeat("k", 100_000)
		f.then(
			func(w http.ResponseWriter, r *http.Request) {
				answer(200, "event: created\ndata: {\"key\":\"a\"}\nid: x-1\n\n")(w, r)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(left)
			},
			answer(200, "event: created\ndata: {\"key\":\""+key+"\"}\nid: x-2\n\n"))
		r := c.start(t, "watch", "")
		r.prints("reset", "created a")
		select {
		case <-left:
		case <-time.After(patience):
			t.Fatal("it stays")
		}
		if line, _ := r.next(); line != "created "+key {
			t.Errorf("a line of %d bytes, want the long key", len(line))
		}
		if l.name == "js" {
			r.writes("stop")
			for line, ok := r.next(); line != "stopped"; line, ok = r.next() {
				if !ok {
					t.Fatal("it ended without a stop")
				}
			}
		}
	})
	t.Run("an event that was cut off is asked for again", func(t *testing.T) {
		for _, cut := range []string{"event: created\ndata: {\"ke", "event: created\ndata: {\"key\":\"b\"}\nid: x-2\n"} {
			ids := make(chan string, 100)
			f.then(
				streams(ids, "event: created\ndata: {\"key\":\"a\"}\nid: x-1\n\n"+cut),
				streams(ids, "event: created\ndata: {\"key\":\"b\"}\nid: x-2\n\n"),
				cutConnection)
			r := c.start(t, "watch", "")
			r.prints("reset", "created a", "created b")
			if first, second := <-ids, <-ids; first != "" || second != "x-1" {
				t.Errorf("it came with the ids %q and %q", first, second)
			}
			r.end()
		}
	})
	t.Run("a watch waits for a second", func(t *testing.T) {
		ids := make(chan string, 100)
		f.then(
			unavailable("0"),
			answer(500, "it fails", "Retry-After", "0"),
			streams(ids, "event: created\ndata: {\"key\":\"a\"}\nid: x-1\n\n"),
			streams(ids, "event: created\ndata: {\"key\":\"b\"}\nid: x-2\n\n"),
			cutConnection)
		r := c.start(t, "watch", "")
		r.prints("reset", "created a", "created b")
		_, at := f.got()
		for i := range 3 {
			if waited := at[i+1].Sub(at[i]); waited < time.Second {
				t.Errorf("after answer %d, it waited for %s", i+1, waited)
			}
		}
		r.end()
		// This cache answers a watch with 200 alone.
		f.then(answer(202, "not a stream"))
		c.fails(t, "202", "watch", "")
		f.count(t, 1)
	})
}
