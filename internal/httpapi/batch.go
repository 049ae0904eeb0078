package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// maxBatchKeys is the largest number of keys in one batch read.
const maxBatchKeys = 100

// batchHint says what to do in place of a batch read that has no key, or too many.
func (s *Server) batchHint() string {
	hint := "; name 1 to 100 keys, as in ?key=a&key=b"
	if s.config.Methods.has(methodPost) {
		hint += ", or POST a bulk request, as " + typeNDJSON
	}
	return hint
}

// errAnswerCut says that a request failed after the header of its answer was sent. The
// connection or stream must then break off, or the client would take a part of the
// answer for the whole.
var errAnswerCut = errors.New("the answer was cut")

// serveBatch answers GET and HEAD of the collection. The query names the keys. It
// writes the answer while it reads from the store, so no buffer has to hold the whole
// answer. HEAD reads the same entries, and writes no body.
func (s *Server) serveBatch(x *exchange) error {
	keys, err := s.batchKeys(x.r.URL.RawQuery, x.keyPrefix)
	if err != nil {
		return s.fail(x, err)
	}
	read := s.readOptions(x.r.Header["Cache-Control"])
	x.rec.noCache = read.NoCache
	steps := batchSteps{keys: keys, keyPrefix: x.keyPrefix, room: store.AnyRoom}
	steps.room.Enough = s.config.MaxAnswerBytes
	answers, err := steps.next(x.r.Context(), s.config.Cache.Engine, read)
	if err != nil {
		return s.fail(x, err)
	}

	status, outcome := batchCacheStatus(answers, read, len(answers) < len(keys)), batchOutcome(answers)
	if x.r.Method == http.MethodHead {
		for len(answers) > 0 {
			if answers, err = steps.next(x.r.Context(), s.config.Cache.Engine, read); err != nil {
				return s.fail(x, err)
			}
		}
	}
	x.rec.end(outcome)
	s.setBatchHeaders(x.w.Header(), status)
	if len(answers) < len(keys) {
		// Nobody knows yet how long the other entries live.
		clampAges(x.w.Header(), 0)
	} else if life := leastLife(answers); life > 0 {
		setLife(x.w.Header(), life)
	}
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	to := newBatchWriter(x.w, x.keyPrefix)
	for len(answers) > 0 {
		for i, a := range answers {
			to.add(keys[i], a)
		}
		keys = keys[len(answers):]
		if to.flush() != nil {
			return nil // the client is gone
		}
		if answers, err = steps.next(x.r.Context(), s.config.Cache.Engine, read); err != nil {
			x.rec.outcome = failureOf(err).outcome
			s.logCut(err)
			return errAnswerCut
		}
	}
	to.end(keys)
	return nil
}

func (s *Server) setBatchHeaders(header http.Header, status string) {
	s.addCacheStatus(header, status)
	header.Set("Content-Type", typeJSON)
	header.Set("X-Content-Type-Options", "nosniff")
	if s.config.CacheControl != "" {
		header.Set("Cache-Control", s.config.CacheControl)
	}
}

// batchKeys returns the keys in a query, without duplicates.
func (s *Server) batchKeys(query, keyPrefix string) ([]string, error) {
	var keys []string
	n := 0
	for name, key := range content.FormFields(query) {
		if strings.EqualFold(name, ttlParameter) {
			return nil, badRequest("the query has the parameter %s, and a read changes no entry; send it with the write, or leave it out", name)
		}
		if name != "key" {
			continue
		}
		if n++; n > maxBatchKeys || slices.Contains(keys, key) {
			continue
		}
		if err := s.checkFullKey(keyPrefix, key); err != nil {
			return nil, badRequest("%s: %v", quotedKey(key), err)
		}
		keys = append(keys, key)
	}
	switch {
	case n == 0:
		return nil, s.nothingAsked()
	case n > maxBatchKeys:
		return nil, badRequest("the query names %d keys%s", n, s.batchHint())
	}
	return keys, nil
}

// quotedKey quotes a key that was not checked, for an error.
func quotedKey(key string) string {
	if !utf8.ValidString(key) {
		return strconv.QuoteToASCII(key)
	}
	return strconv.Quote(key)
}

// leastLife returns how long the entry lives that expires first; 0 if none expires.
func leastLife(answers []engine.Answer) (least time.Duration) {
	for _, a := range answers {
		if a.Life > 0 && (least == 0 || a.Life < least) {
			least = a.Life
		}
	}
	return least
}

// batchCacheStatus returns the Cache-Status of a batch read. It is a hit if all answers
// came from the local tier; the entry that expires first gives the ttl. isRest tells
// that the store will be asked for more keys.
func batchCacheStatus(answers []engine.Answer, read engine.Read, isRest bool) string {
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
	if isRest {
		return statusBatch
	}
	return cacheStatus(least, read)
}
