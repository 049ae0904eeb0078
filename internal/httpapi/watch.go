package httpapi

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

const (
	typeEvents = "text/event-stream"
	// watchComment is how often a stream has a comment, even without events. Proxies and
	// clients then see that it lives.
	watchComment = 15 * time.Second
	// watchRetry is how many milliseconds a browser waits before it comes back.
	watchRetry = "1000"
	// mostWaiting is how many events may wait while the client takes the ones before, if it
	// takes longer than slowWrite. A burst alone makes no client slow.
	mostWaiting = 256
	slowWrite   = 100 * time.Millisecond
	// watchWrite is how long the client may take for the events of one write.
	watchWrite = 5 * time.Second
	// mostWritten is how many events are written at once.
	mostWritten = 256
)

// serveWatch answers a GET of the collection with a stream of server-sent events (HTML
// standard, section 9.2), and a HEAD with the head of it.
func (s *Server) serveWatch(x *exchange, q collectionQuery) error {
	x.op = running.OpWatch
	prefix, err := s.checkWatch(x, &q)
	if err != nil {
		return s.fail(x, err)
	}
	if x.r.Method == http.MethodHead {
		x.rec.end(running.OutcomeWatched)
		setWatchHeaders(x.w.Header())
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	if !s.watching.enter() {
		return s.fail(x, crowded.because("as many clients watch as may at the same time (`watch` in the configuration of redis_proxy); try again later"))
	}
	defer s.watching.leave()
	after := x.r.Header.Get("Last-Event-ID")
	watcher, err := s.config.Cache.Engine.Watch(x.r.Context(), x.keyPrefix+prefix, after)
	if err != nil {
		return s.fail(x, err)
	}
	defer watcher.Close()
	x.rec.end(running.OutcomeWatched)
	s.stream(x, watcher)
	return nil
}

// checkWatch checks a request for a stream, and returns the prefix of its keys.
func (s *Server) checkWatch(x *exchange, q *collectionQuery) (prefix string, err error) {
	switch {
	case s.watching == nil:
		return "", badRequest("watching is switched off: `watch` is not in the configuration of redis_proxy")
	case q.watch.count > 1:
		return "", badRequest("the query has watch twice; send it once")
	case q.key.count+q.limit.count+q.cursor.count > 0:
		return "", badRequest("watch takes prefix alone; leave key, limit and cursor out")
	case !acceptsEvents(x.r.Header["Accept"]):
		return "", notAcceptable.because("a watch is answered as text/event-stream; send Accept: text/event-stream")
	}
	prefix, _, err = s.listingOf(x, q)
	return prefix, err
}

// acceptsEvents reports whether Accept, if there is one, has the type of streams.
func acceptsEvents(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	for _, line := range accept {
		for member := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(member, ";")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case typeEvents, "text/*", "*/*":
				return true
			}
		}
	}
	return false
}

func setWatchHeaders(header http.Header) {
	header.Set("Content-Type", typeEvents)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
}

// stream writes events until the client leaves or is too slow, the configuration ends, or
// the engine is closed.
func (s *Server) stream(x *exchange, watcher *engine.Watcher) {
	out := http.NewResponseController(x.w)
	// Caddy's limits are for whole requests and answers. A ResponseWriter that cannot lift
	// them has none.
	_ = out.SetReadDeadline(time.Time{})
	setWatchHeaders(x.w.Header())
	x.w.WriteHeader(http.StatusOK)

	comments := time.NewTicker(watchComment)
	defer comments.Stop()
	w := eventWriter{watcher: watcher, keyPrefix: x.keyPrefix}
	w.buffer = append(w.buffer, ": these are the changes of the keys\nretry: "+watchRetry+"\n"...)
	w.id(watcher.Place())
	for {
		notices, more := watcher.Take(w.notices[:0], mostWritten)
		w.notices = notices
		for i := range notices {
			w.add(&notices[i])
		}
		if len(w.buffer) > 0 {
			newest, began := watcher.Newest(), time.Now()
			_ = out.SetWriteDeadline(began.Add(watchWrite))
			_, err := x.w.Write(w.buffer)
			if err == nil {
				err = out.Flush()
			}
			// Over HTTP/2, a deadline also ends a stream that has nothing to write.
			_ = out.SetWriteDeadline(time.Time{})
			w.buffer = w.buffer[:0]
			if err == nil {
				watcher.Told(len(notices))
			}
			if took := time.Since(began); isSlow(watcher, newest, took, err) {
				watcher.Drop()
				return
			}
			if err != nil {
				return // the client is gone
			}
		}
		if len(notices) > 0 {
			more = nil // there may be more already
		}
		if !s.await(x, watcher, more, comments.C, &w) {
			return
		}
	}
}

// isSlow reports whether a client did not take a write in time, or not fast enough for the
// events that came meanwhile, behind the place newest.
func isSlow(w *engine.Watcher, newest uint64, took time.Duration, err error) bool {
	return err != nil && took >= watchWrite || err == nil && took > slowWrite && w.CameSince(newest) > mostWaiting
}

// await waits for more events, or for the time of a comment. It returns false if the stream
// must end.
func (s *Server) await(x *exchange, watcher *engine.Watcher, more <-chan struct{}, comment <-chan time.Time, w *eventWriter) bool {
	select {
	case <-x.r.Context().Done():
		return false
	case <-s.watching.ended:
		return false
	case <-watcher.Closing():
		return false
	default:
	}
	if more == nil {
		return true
	}
	select {
	case <-more:
	case <-comment:
		w.buffer = append(w.buffer, ": still here\n"...)
		w.id(watcher.Place())
	case <-x.r.Context().Done():
	case <-s.watching.ended:
	case <-watcher.Closing():
	}
	return true
}

// eventWriter writes notices as events.
type eventWriter struct {
	watcher   *engine.Watcher
	keyPrefix string
	notices   []engine.Notice
	buffer    []byte
}

// id ends an event with its place in the feed. A browser sends it when it comes back.
func (w *eventWriter) id(place uint64) {
	w.buffer = append(w.buffer, "id: "...)
	w.buffer = w.watcher.AppendID(w.buffer, place)
	w.buffer = append(w.buffer, "\n\n"...)
}

func (w *eventWriter) add(n *engine.Notice) {
	if n.What == engine.Reset {
		w.buffer = append(w.buffer, "event: reset\ndata: {}\n"...)
		w.id(n.Place)
		return
	}
	key := n.Key[len(w.keyPrefix):]
	if key == "" || !utf8.ValidString(key) {
		return // another program wrote it, and no request can name it
	}
	w.buffer = append(append(w.buffer, "event: "...), n.What...)
	w.buffer = content.AppendQuoted(append(w.buffer, "\ndata: {\"key\":"...), key)
	if n.Version.Number > 0 {
		var b [26]byte
		tag := appendETag(b[:0], n.Version)
		w.buffer = append(append(w.buffer, `,"etag":"\"`...), tag[1:len(tag)-1]...)
		w.buffer = append(w.buffer, `\""`...)
	}
	w.buffer = append(w.buffer, "}\n"...)
	w.id(n.Place)
}
