package redisproxy

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// maxBatchKeys is how many keys one batch read may name.
const maxBatchKeys = 100

const batchHint = "; name 1 to 100 keys, as in ?key=a&key=b"

// serveBatch answers GET of the collection, which names keys in its query.
func (h *Handler) serveBatch(w http.ResponseWriter, r *http.Request, rec *record, prefix string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return h.fail(w, rec, http.StatusBadRequest, "the query is not what it has to be: "+err.Error()+batchHint)
	}
	keys := query["key"]
	switch {
	case len(keys) == 0:
		return h.fail(w, rec, http.StatusBadRequest, "the query names no key"+batchHint)
	case len(keys) > maxBatchKeys:
		return h.fail(w, rec, http.StatusBadRequest, "the query names "+strconv.Itoa(len(keys))+" keys"+batchHint)
	}
	full := make([]string, len(keys))
	for i, key := range keys {
		if err := h.checkFullKey(prefix, key); err != nil {
			return h.fail(w, rec, http.StatusBadRequest, strconv.Quote(key)+": "+err.Error())
		}
		full[i] = prefix + key
	}

	read := h.readOptions(r.Header["Cache-Control"])
	rec.noCache = read.NoCache
	answers, err := h.engine().GetAll(r.Context(), full, read)
	if err != nil {
		return h.failEngine(w, r, rec, err)
	}
	rec.end(batchOutcome(answers))
	body := appendBatch(nil, prefix, keys, answers)
	header := w.Header()
	h.addCacheStatus(header, batchCacheStatus(answers, read))
	header.Set("Content-Type", typeJSON)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("X-Content-Type-Options", "nosniff")
	if h.cacheControl != "" {
		header.Set("Cache-Control", h.cacheControl)
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
	return nil
}

// appendBatch appends the entries, in the order of the keys, and the keys that
// have none. The keys are without the prefix with which the store knows them.
func appendBatch(dst []byte, prefix string, keys []string, answers []engine.Answer) []byte {
	dst = append(dst, `{"entries":[`...)
	var absent []string
	sep := ""
	for i, a := range answers {
		if a.Entry == nil {
			absent = append(absent, keys[i])
			continue
		}
		dst = append(dst, sep...)
		dst = appendBatchEntry(dst, prefix, keys[i], a.Entry.View.(*view))
		sep = ","
	}
	dst = append(dst, `],"absent":[`...)
	for i, key := range absent {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, key)
	}
	return append(dst, "]}"...)
}

// appendBatchEntry appends the envelope of a value with its etag; for one that
// has no envelope, its bytes in base64 and its content type.
func appendBatchEntry(dst []byte, prefix, key string, v *view) []byte {
	dst = append(dst, envelopeKey...)
	dst = appendQuoted(dst, key)
	if v.plain.isRaw {
		dst = append(dst, `,"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, v.raw.body)
		dst = append(dst, `","content_type":`...)
		dst = appendQuoted(dst, v.raw.contentType)
	} else {
		start := len(envelopeKey) + quotedLen(prefix) - len(`""`) + quotedLen(key)
		dst = append(dst, v.plain.body[start:len(v.plain.body)-1]...)
	}
	if v.etag != "" {
		dst = append(dst, `,"etag":`...)
		dst = appendQuoted(dst, v.etag)
	}
	return append(dst, envelopeEnd)
}

// batchCacheStatus says that all came from the local tier, and for how long it
// will, or that the store was asked.
func batchCacheStatus(answers []engine.Answer, read engine.Read) string {
	least := answers[0]
	for _, a := range answers {
		switch {
		case a.Source != engine.Local && read.NoCache:
			return statusRequest
		case a.Source != engine.Local:
			return statusBatch
		case a.TTL < least.TTL:
			least = a
		}
	}
	return cacheStatus(least, read)
}
