package redisproxy

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
)

// ServeHTTP answers requests at and below the prefix, and passes others on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, where := h.locate(r)
	if where == outside {
		if h.reach.passedOn() {
			h.logger.Warn("this handler has passed on all requests so far, since none was for path_prefix or a path below it; if its keys are asked for, check path_prefix, the matcher, and the handle, handle_path and rewrite directives around it (docs/sites.md)",
				zap.String("path_prefix", h.PathPrefix), zap.Int("passed_on", passedUntilWarned))
		}
		return next.ServeHTTP(w, r)
	}
	h.reach.answered()
	var rec record
	if h.Placeholders {
		rec.request = r
	}
	counters := h.pooled.requests
	begin := counters.now()
	err := h.serve(w, r, &rec, key, where)
	counters.add(operationOf(r.Method, where), rec.outcome, rec.noCache, counters.now()-begin)
	if err == errAnswerCut {
		panic(http.ErrAbortHandler) // which is how net/http wants it said
	}
	return err
}

// serve answers a request that is not for the next handler.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, rec *record, key string, where place) error {
	switch where {
	case nearMiss:
		rec.end(outcomeBadPath)
		return h.fail(w, rec, http.StatusNotFound, "the path prefix is taken literally; write "+h.PathPrefix+" as it is, without repeated slashes, dot segments or escapes")
	case garbled:
		rec.end(outcomeBadPath)
		return h.fail(w, rec, http.StatusBadRequest, "the path was rewritten before redis_proxy got it, and lost repeated slashes, dot segments or an escaped %, ? or #, so that the key as it was sent cannot be told; send a path without them, or let the site pass paths on unchanged")
	}
	allowed := h.methods
	if where == collection {
		allowed &= methodGet | methodHead | methodPost
	}
	method := methodOf(r.Method)
	switch {
	case allowed.has(method):
		if h.vary != "" {
			w.Header().Add("Vary", h.vary)
		}
		prefix, err := h.prefixOf(r)
		if err != nil {
			return h.failMistake(w, rec, err)
		}
		switch {
		case method&(methodGet|methodHead) == 0:
			return h.serveWrite(w, r, rec, method, prefix, key, where)
		case where == collection:
			return h.serveBatch(w, r, rec, prefix)
		}
		return h.serveRead(w, r, rec, prefix, key)
	case r.Method == http.MethodOptions:
		rec.end(outcomeOptions)
		w.Header().Set("Allow", allowed.allow())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}

	w.Header().Set("Allow", allowed.allow())
	detail := r.Method + " is not supported; use a method that Allow lists"
	switch {
	case h.methods.has(method):
		detail = r.Method + " needs a key: " + h.prefix + "/{key}"
	case method != 0:
		detail = r.Method + " is switched off; `methods` in the configuration of redis_proxy switches it on"
	}
	return h.fail(w, rec, http.StatusMethodNotAllowed, detail)
}

// countedByServer is the size up to which net/http sets Content-Length.
const countedByServer = 2000

// serveRead answers GET and HEAD. It is the hot path: for an entry in the local
// tier it formats nothing, and allocates little more than the header values.
func (h *Handler) serveRead(w http.ResponseWriter, r *http.Request, rec *record, prefix, key string) error {
	if err := h.checkFullKey(prefix, key); err != nil {
		return h.failKey(w, rec, err)
	}
	rec.key = key
	read := h.readOptions(r.Header["Cache-Control"])
	rec.noCache = read.NoCache
	answer, err := h.engine().Get(r.Context(), prefix+key, read)
	if err != nil {
		return h.failEngine(w, r, rec, err)
	}
	rec.endRead(answer)
	status := cacheStatus(answer, read)
	if answer.Entry == nil {
		h.addCacheStatus(w.Header(), status)
		detail := "no entry has this key"
		if h.methods.has(methodPost) {
			detail += "; POST creates one"
		}
		return h.fail(w, rec, http.StatusNotFound, detail)
	}

	v := answer.Entry.Prepared.(*representations)
	body := &v.plain
	if r.URL.RawQuery != "" && wantsRaw(r.URL.RawQuery) {
		body = &v.raw
	}
	if prefix != "" && !body.isRaw {
		body = body.withoutPrefix(prefix)
	}

	// Two look-ups tell that nothing is conditional: without a time of
	// modification, If-Modified-Since and If-Unmodified-Since do not count.
	if r.Header["If-Match"] != nil || r.Header["If-None-Match"] != nil {
		failed, err := h.checkConditions(w, r, rec, answer.Entry.Version, v, status)
		if failed {
			return err
		}
	}
	if r.Method == http.MethodGet && body.isRaw && len(body.body) > 0 && hasByteRange(r.Header) {
		return h.serveRange(w, r, rec, v, body, status)
	}
	// net/http counts a small body itself, and a header less is worth more than
	// one would think: a Go map grows at the ninth.
	isCounted := r.Method == http.MethodGet && len(body.body) <= countedByServer
	h.setHeaders(w.Header(), v, body, status, !isCounted)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body.body)
	}
	return nil
}

func (h *Handler) engine() *engine.Engine { return h.pooled.engine }

func (h *Handler) failKey(w http.ResponseWriter, rec *record, err error) error {
	detail := err.Error()
	if err == httpapi.ErrKeyEmpty {
		detail += "; name one in the path, " + h.prefix + "/{key}, or leave the last slash out to create an entry whose key is in the body"
	}
	return h.fail(w, rec, http.StatusBadRequest, detail)
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
func (h *Handler) checkConditions(w http.ResponseWriter, r *http.Request, rec *record, version store.Version, v *representations, status string) (answered bool, err error) {
	header := w.Header()
	ifMatch, err := ifMatch(r.Header)
	if err != nil {
		return true, h.fail(w, rec, http.StatusBadRequest, err.Error())
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
		case failsWeakly(r.Header, version):
			detail = detailWeakMatch
		}
		return true, h.fail(w, rec, http.StatusPreconditionFailed, detail)
	}
	// Whole answers are never wrong, so a broken If-None-Match may go.
	ifNoneMatch, err := ifNoneMatch(r.Header)
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
	w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// serveRange answers a part of a value. The conditions have been looked at, so
// http.ServeContent gets to see the range alone.
func (h *Handler) serveRange(w http.ResponseWriter, r *http.Request, rec *record, v *representations, body *representation, status string) error {
	h.setHeaders(w.Header(), v, body, status, false)
	part := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Range":    {withoutEmptySuffixes(r.Header["Range"][0])},
		"If-Range": r.Header["If-Range"],
	}}
	to := &rangeWriter{ResponseWriter: w}
	http.ServeContent(to, part, "", time.Time{}, bytes.NewReader(body.body))
	if !to.unsatisfiable {
		return nil
	}
	w.Header().Del("Content-Security-Policy")
	// http.ServeContent sets it only where it could read the range.
	w.Header().Set("Content-Range", "bytes */"+body.length)
	return h.fail(w, rec, http.StatusRequestedRangeNotSatisfiable, "the value has "+body.length+" bytes, and none of them is in the range")
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
	for name := range formFields(query) {
		if name == "raw" {
			return true
		}
	}
	return false
}
