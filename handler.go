package redisproxy

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// ServeHTTP answers requests at and below the prefix, and passes others on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, where := h.pathOf(r).Locate()
	if where == keypath.Outside {
		if h.reach.passedOn() {
			h.logger.Warn("this handler has passed on all requests so far, since none was for path_prefix or a path below it; if its keys are asked for, check path_prefix, the matcher, and the handle, handle_path and rewrite directives around it (docs/sites.md)",
				zap.String("path_prefix", h.PathPrefix), zap.Int("passed_on", passedUntilWarned))
		}
		return next.ServeHTTP(w, r)
	}
	h.reach.answered()
	x := exchange{w: w, r: r, where: where, key: key}
	if h.Placeholders {
		x.rec.request = r
	}
	counters := h.cache.Requests
	begin := counters.Now()
	err := h.serve(&x)
	counters.Add(operationOf(r.Method, where), x.rec.outcome, x.rec.noCache, counters.Now()-begin)
	if err == errAnswerCut {
		panic(http.ErrAbortHandler) // which is how net/http wants it said
	}
	return err
}

// pathOf returns the path of a request as it was sent, and as we get it.
func (h *Handler) pathOf(r *http.Request) keypath.Request {
	return keypath.Request{Sent: sentURL(r), Current: r.URL, Prefix: h.prefix}
}

// sentURL returns the URL as the client sent it, before handlers in front of us
// rewrote it.
func sentURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL
	}
	return r.URL
}

// serve answers a request that is not for the next handler.
func (h *Handler) serve(x *exchange) error {
	switch x.where {
	case keypath.NearMiss:
		x.rec.end(running.OutcomeBadPath)
		return h.fail(x, http.StatusNotFound, "the path prefix is taken literally; write "+h.PathPrefix+" as it is, without repeated slashes, dot segments or escapes")
	case keypath.Garbled:
		x.rec.end(running.OutcomeBadPath)
		return h.fail(x, http.StatusBadRequest, "the path was rewritten before redis_proxy got it, and lost repeated slashes, dot segments or an escaped %, ? or #, so that the key as it was sent cannot be told; send a path without them, or let the site pass paths on unchanged")
	}
	allowed := h.methods
	if x.where == keypath.Collection {
		allowed &= methodGet | methodHead | methodPost
	}
	method := methodOf(x.r.Method)
	switch {
	case allowed.has(method):
		if h.vary != "" {
			x.w.Header().Add("Vary", h.vary)
		}
		var err error
		if x.prefix, err = h.prefixOf(x.r); err != nil {
			return h.failMistake(x, err)
		}
		switch {
		case method&(methodGet|methodHead) == 0:
			return h.serveWrite(x, method)
		case x.where == keypath.Collection:
			return h.serveBatch(x)
		}
		return h.serveRead(x)
	case x.r.Method == http.MethodOptions:
		x.rec.end(running.OutcomeOptions)
		x.w.Header().Set("Allow", allowed.allow())
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}

	x.w.Header().Set("Allow", allowed.allow())
	detail := x.r.Method + " is not supported; use a method that Allow lists"
	switch {
	case h.methods.has(method):
		detail = x.r.Method + " needs a key: " + h.prefix + "/{key}"
	case method != 0:
		detail = x.r.Method + " is switched off; `methods` in the configuration of redis_proxy switches it on"
	}
	return h.fail(x, http.StatusMethodNotAllowed, detail)
}

// countedByServer is the size up to which net/http sets Content-Length.
const countedByServer = 2000

// serveRead answers GET and HEAD. It is the hot path: for an entry in the local
// tier it formats nothing, and allocates little more than the header values.
func (h *Handler) serveRead(x *exchange) error {
	if err := h.checkFullKey(x.prefix, x.key); err != nil {
		return h.failKey(x, err)
	}
	x.rec.key = x.key
	read := h.readOptions(x.r.Header["Cache-Control"])
	x.rec.noCache = read.NoCache
	answer, err := h.engine().Get(x.r.Context(), x.prefix+x.key, read)
	if err != nil {
		return h.failEngine(x, err)
	}
	x.rec.endRead(answer)
	status := cacheStatus(answer, read)
	if answer.Entry == nil {
		h.addCacheStatus(x.w.Header(), status)
		detail := "no entry has this key"
		if h.methods.has(methodPost) {
			detail += "; POST creates one"
		}
		return h.fail(x, http.StatusNotFound, detail)
	}

	v := answer.Entry.Prepared.(*representations)
	body := &v.plain
	if x.r.URL.RawQuery != "" && wantsRaw(x.r.URL.RawQuery) {
		body = &v.raw
	}
	if x.prefix != "" && !body.isRaw {
		body = body.withoutPrefix(x.prefix)
	}

	// Two look-ups tell that nothing is conditional: without a time of
	// modification, If-Modified-Since and If-Unmodified-Since do not count.
	if x.r.Header["If-Match"] != nil || x.r.Header["If-None-Match"] != nil {
		failed, err := h.checkConditions(x, answer.Entry.Version, v, status)
		if failed {
			return err
		}
	}
	if x.r.Method == http.MethodGet && body.isRaw && len(body.body) > 0 && hasByteRange(x.r.Header) {
		return h.serveRange(x, v, body, status)
	}
	// net/http counts a small body itself, and a header less is worth more than
	// one would think: a Go map grows at the ninth.
	isCounted := x.r.Method == http.MethodGet && len(body.body) <= countedByServer
	h.setHeaders(x.w.Header(), v, body, status, !isCounted)
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(body.body)
	}
	return nil
}

func (h *Handler) engine() *engine.Engine { return h.cache.Engine }

func (h *Handler) failKey(x *exchange, err error) error {
	detail := err.Error()
	if err == keypath.ErrEmpty {
		detail += "; name one in the path, " + h.prefix + "/{key}, or leave the last slash out to create an entry whose key is in the body"
	}
	return h.fail(x, http.StatusBadRequest, detail)
}

// headerValues sets headers whose values share one array. Each gets its own
// slice of it, with no room to grow into the next: Caddy's header directive
// edits slices in place, so that responses must not share any.
type headerValues struct {
	header http.Header
	values []string
}

// set takes a canonical key.
func (v *headerValues) set(key, value string) {
	n := len(v.values)
	v.values = append(v.values, value)
	v.header[key] = v.values[n : n+1 : n+1]
}

// setHeaders sets the headers of an answer with body; all but the length if
// somebody else will set that.
func (h *Handler) setHeaders(header http.Header, v *representations, body *representation, status string, length bool) {
	set := headerValues{header, make([]string, 0, 8)}
	if len(header["Cache-Status"]) == 0 {
		set.set("Cache-Status", status)
	} else {
		h.addCacheStatus(header, status)
	}
	set.set("Content-Type", body.contentType)
	set.set("X-Content-Type-Options", "nosniff")
	if length {
		set.set("Content-Length", body.length)
	}
	if v.etag != "" {
		set.set("Etag", v.etag)
	}
	if h.cacheControl != "" {
		set.set("Cache-Control", h.cacheControl)
	}
	if body.isRaw {
		set.set("Accept-Ranges", "bytes")
		if body.isForeign {
			// A page that a client stored must not act as the site's own.
			set.set("Content-Security-Policy", "default-src 'none'; sandbox")
		}
	}
}

// addCacheStatus adds a member to the list: caches before us have their own
// (RFC 9211, section 2).
func (h *Handler) addCacheStatus(header http.Header, status string) {
	if others := header["Cache-Status"]; len(others) > 0 {
		header["Cache-Status"] = append(others[:len(others):len(others)], status)
		return
	}
	header["Cache-Status"] = []string{status}
}

// checkConditions answers a conditional read that gets no value (RFC 9110,
// section 13.2.2), and says whether it did.
func (h *Handler) checkConditions(x *exchange, version store.Version, v *representations, status string) (answered bool, err error) {
	header := x.w.Header()
	ifMatch, err := ifMatch(x.r.Header)
	if err != nil {
		return true, h.fail(x, http.StatusBadRequest, err.Error())
	}
	if ifMatch != "" && !ifMatch.Has(version) {
		h.addCacheStatus(header, status)
		if v.etag != "" {
			header.Set("Etag", v.etag)
		}
		detail := "the entry has another version than If-Match asks for; its ETag is in this answer"
		switch {
		case v.etag == "":
			detail = "the entry has no ETag yet, since somebody else wrote it to the store; If-Match: * is all that matches it"
		case failsWeakly(x.r.Header, version):
			detail = detailWeakMatch
		}
		return true, h.fail(x, http.StatusPreconditionFailed, detail)
	}
	// Whole answers are never wrong, so a broken If-None-Match may go.
	ifNoneMatch, err := ifNoneMatch(x.r.Header)
	if err != nil || ifNoneMatch == "" || !ifNoneMatch.Has(version) {
		return false, nil
	}
	h.addCacheStatus(header, status)
	if v.etag != "" {
		header.Set("Etag", v.etag)
	}
	if h.cacheControl != "" {
		header.Set("Cache-Control", h.cacheControl)
	}
	x.w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// serveRange answers a part of a value. The conditions have been looked at, so
// http.ServeContent gets to see the range alone.
func (h *Handler) serveRange(x *exchange, v *representations, body *representation, status string) error {
	h.setHeaders(x.w.Header(), v, body, status, false)
	part := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Range":    {withoutEmptySuffixes(x.r.Header["Range"][0])},
		"If-Range": x.r.Header["If-Range"],
	}}
	to := &rangeWriter{ResponseWriter: x.w}
	http.ServeContent(to, part, "", time.Time{}, bytes.NewReader(body.body))
	if !to.unsatisfiable {
		return nil
	}
	x.w.Header().Del("Content-Security-Policy")
	// http.ServeContent sets it only where it could read the range.
	x.w.Header().Set("Content-Range", "bytes */"+body.length)
	return h.fail(x, http.StatusRequestedRangeNotSatisfiable, "the value has "+body.length+" bytes, and none of them is in the range")
}

// hasByteRange reports whether a request asks for bytes; other units are as good
// as no header (RFC 9110, section 14.2). With several If-Range lines nobody can
// tell of which version the client has the rest, and the whole is never wrong.
func hasByteRange(header http.Header) bool {
	lines := header["Range"]
	return len(lines) == 1 && len(lines[0]) > 6 && strings.EqualFold(lines[0][:6], "bytes=") && len(header["If-Range"]) <= 1
}

// withoutEmptySuffixes takes the ranges out that ask for the last 0 bytes, which
// http.ServeContent would answer with a range that ends before it begins. It
// finds what is left without any unsatisfiable.
func withoutEmptySuffixes(ranges string) string {
	parts := strings.Split(ranges[len("bytes="):], ",")
	parts = slices.DeleteFunc(parts, func(part string) bool {
		digits, isSuffix := strings.CutPrefix(strings.TrimSpace(part), "-")
		return isSuffix && digits != "" && strings.Trim(digits, "0") == ""
	})
	if len(parts) == 0 {
		return "bytes=none"
	}
	return "bytes=" + strings.Join(parts, ",")
}

// rangeWriter keeps http.ServeContent from answering an error in its own words.
type rangeWriter struct {
	http.ResponseWriter
	unsatisfiable bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.unsatisfiable = true
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *rangeWriter) Write(b []byte) (int, error) {
	if w.unsatisfiable {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// wantsRaw reports whether a query has the parameter raw, with any value.
func wantsRaw(query string) bool {
	if query == "raw" {
		return true
	}
	if !strings.Contains(query, "raw") {
		return false
	}
	for name := range content.FormFields(query) {
		if name == "raw" {
			return true
		}
	}
	return false
}
