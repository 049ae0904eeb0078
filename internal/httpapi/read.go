package httpapi

import (
	"net/http"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// countedByServer is the largest size of a body for which net/http sets Content-Length.
const countedByServer = 2000

// serveRead answers GET and HEAD of a key. It is the hot path: for an entry in the local
// tier it formats nothing, and allocates little more than the header values.
func (s *Server) serveRead(x *exchange) error {
	if err := s.checkFullKey(x.keyPrefix, x.key); err != nil {
		return s.failKey(x, err)
	}
	x.rec.key = x.key
	if err := checkReadQuery(x.r.URL.RawQuery); err != nil {
		return s.fail(x, err)
	}
	read := s.readOptions(x.r.Header["Cache-Control"])
	x.rec.noCache = read.NoCache
	answer, err := s.config.Cache.Engine.Get(x.r.Context(), x.keyPrefix+x.key, read)
	if err != nil {
		return s.fail(x, err)
	}
	x.rec.endRead(answer)
	status := cacheStatus(answer, read)
	if answer.Entry == nil {
		s.addCacheStatus(x.w.Header(), status)
		return s.answerProblem(x, problem{Status: http.StatusNotFound, Detail: s.detailAbsent()})
	}

	v := answer.Entry.Prepared.(*representations)
	body := &v.plain
	if x.r.URL.RawQuery != "" && wantsRaw(x.r.URL.RawQuery) {
		body = &v.raw
	}
	if x.keyPrefix != "" && !body.isRaw {
		body = body.withoutPrefix(x.keyPrefix)
	}

	// Entries have no time of modification, so If-Modified-Since and
	// If-Unmodified-Since do not count.
	if x.r.Header["If-Match"] != nil || x.r.Header["If-None-Match"] != nil {
		failed, err := s.checkConditions(x, answer, v, status)
		if failed {
			return err
		}
	}
	if x.r.Method == http.MethodGet && body.isRaw && len(body.body) > 0 && hasByteRange(x.r.Header) {
		return s.serveRange(x, v, body, status, answer.Life)
	}
	// net/http sets Content-Length for a small body. One header less matters: a Go map
	// grows at the ninth.
	isCounted := x.r.Method == http.MethodGet && len(body.body) <= countedByServer
	s.setHeaders(x.w.Header(), v, body, status, !isCounted)
	if answer.Life > 0 {
		setLife(x.w.Header(), answer.Life)
	}
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(body.body)
	}
	return nil
}

func (s *Server) detailAbsent() string {
	if s.config.Methods.has(methodPost) {
		return "no entry has this key; POST creates one"
	}
	return "no entry has this key"
}

// checkConditions checks the preconditions of a read (RFC 9110, section 13.2.2). If one
// fails, it answers the request and returns true.
func (s *Server) checkConditions(x *exchange, answer engine.Answer, v *representations, status string) (answered bool, err error) {
	header, version := x.w.Header(), answer.Entry.Version
	ifMatch, err := ifMatch(x.r.Header)
	if err != nil {
		return true, s.answerProblem(x, problem{Status: http.StatusBadRequest, Detail: err.Error()})
	}
	if ifMatch != "" && !ifMatch.Has(version) {
		s.addCacheStatus(header, status)
		if v.etag != "" {
			header.Set("Etag", v.etag)
		}
		detail := "the entry has another version than If-Match asks for; its ETag is in this answer"
		switch {
		case v.etag == "":
			detail = "the entry has no ETag yet, because another program wrote it to the store; only If-Match: * matches it"
		case failsWeakly(x.r.Header["If-Match"], version):
			detail = detailWeakMatch
		}
		return true, s.answerProblem(x, problem{Status: http.StatusPreconditionFailed, Detail: detail})
	}
	// A broken If-None-Match is ignored: an answer with the value is never wrong.
	ifNoneMatch, err := ifNoneMatch(x.r.Header)
	if err != nil || ifNoneMatch == "" || !ifNoneMatch.Has(version) {
		return false, nil
	}
	s.addCacheStatus(header, status)
	if v.etag != "" {
		header.Set("Etag", v.etag)
	}
	if s.config.CacheControl != "" {
		header.Set("Cache-Control", s.config.CacheControl)
	}
	if answer.Life > 0 {
		setLife(header, answer.Life)
	}
	x.w.WriteHeader(http.StatusNotModified)
	return true, nil
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
