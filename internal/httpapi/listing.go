package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

const (
	defaultListed = 100
	mostListed    = store.MaxBatch

	// A page ends after so many steps, or so much time. It may then be short, even empty.
	listingSteps = 64
	listingTime  = 100 * time.Millisecond
)

// serveListing answers GET and HEAD of the collection with a page of keys.
func (s *Server) serveListing(x *exchange, q collectionQuery) error {
	x.op = running.OpList
	prefix, limit, err := s.listingOf(x, &q)
	if err != nil {
		return s.fail(x, err)
	}
	after := ""
	if q.cursor.count > 0 {
		if after, err = s.openCursor(q.cursor.value, x.keyPrefix, prefix); err != nil {
			return s.fail(x, err)
		}
	}
	keys, next, err := s.page(x.r.Context(), x.keyPrefix, prefix, after, limit)
	if errors.Is(err, store.ErrCursor) {
		err = badRequest("the cursor is of another server of the store: it was started again, or another one has taken over; begin the listing again, without cursor")
	}
	if err != nil {
		return s.fail(x, err)
	}
	body := []byte(`{"keys":[`)
	for i, key := range keys {
		if i > 0 {
			body = append(body, ',')
		}
		body = content.AppendQuoted(body, key)
	}
	body = append(body, ']')
	if next != "" {
		body = append(body, `,"cursor":`...)
		body = content.AppendQuoted(body, s.sealCursor(next, x.keyPrefix, prefix))
	}
	body = append(body, '}')
	x.rec.end(running.OutcomeStore)
	return s.answerJSON(x, body)
}

// listingOf checks what a listing or a deletion by prefix asks for.
func (s *Server) listingOf(x *exchange, q *collectionQuery) (prefix string, limit int, err error) {
	prefix, limit = q.prefix.value, defaultListed
	switch {
	case q.prefix.count > 1 || q.limit.count > 1 || q.cursor.count > 1:
		return "", 0, badRequest("the query has prefix, limit or cursor twice; send each once")
	case !utf8.ValidString(prefix) || keypath.HasControl(prefix):
		return "", 0, badRequest("no key begins with this prefix: it is not valid UTF-8, or has a control character")
	case len(x.keyPrefix)+len(prefix) > s.config.MaxKeySize:
		return "", 0, badRequest("no key begins with this prefix: it is longer than max_key_size, %d bytes", s.config.MaxKeySize)
	}
	if q.limit.count > 0 {
		limit, err = strconv.Atoi(q.limit.value)
		if err != nil || limit < 1 || limit > mostListed {
			return "", 0, badRequest("limit is %s; write a number of keys from 1 to %d", quotedKey(q.limit.value), mostListed)
		}
	}
	// Keys can be so large that fewer of them fill an answer.
	return prefix, int(min(int64(limit), max(1, s.config.MaxAnswerBytes/int64(s.config.MaxKeySize)))), nil
}

// page collects up to limit keys behind a cursor of the engine, without key_prefix.
func (s *Server) page(ctx context.Context, keyPrefix, prefix, after string, limit int) (keys []string, next string, err error) {
	began := time.Now()
	for range listingSteps {
		var found []string
		found, after, err = s.config.Cache.Engine.Scan(ctx, keyPrefix+prefix, after, limit-len(keys))
		if err != nil {
			return nil, "", err
		}
		for _, key := range found {
			// Other programs can write keys to the store that no request can name.
			if key = key[len(keyPrefix):]; key != "" && utf8.ValidString(key) {
				keys = append(keys, key)
			}
		}
		if after == "" || len(keys) == limit || time.Since(began) > listingTime {
			break
		}
	}
	return keys, after, nil
}

// checksumSize is the size of the checksum that begins a cursor.
const checksumSize = 8

// sealCursor returns a cursor of the engine as clients get it. Its checksum binds it to the
// listing.
func (s *Server) sealCursor(cursor, keyPrefix, prefix string) string {
	sum := s.checksum(cursor, keyPrefix, prefix)
	return base64.RawURLEncoding.EncodeToString(append(sum, cursor...))
}

func (s *Server) openCursor(sealed, keyPrefix, prefix string) (string, error) {
	plain, err := base64.RawURLEncoding.DecodeString(sealed)
	if err == nil && len(plain) > checksumSize {
		cursor := string(plain[checksumSize:])
		if string(s.checksum(cursor, keyPrefix, prefix)) == string(plain[:checksumSize]) {
			return cursor, nil
		}
	}
	return "", badRequest("the cursor is not one of this listing; send the cursor of the page before, with the same prefix, or begin again without cursor")
}

func (s *Server) checksum(cursor, keyPrefix, prefix string) []byte {
	h := sha256.New()
	for _, part := range []string{s.config.Cache.Namespace(), keyPrefix, prefix, cursor} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:checksumSize]
}

// answerJSON answers 200 with a body of JSON, which HEAD leaves out.
func (s *Server) answerJSON(x *exchange, body []byte) error {
	header := x.w.Header()
	header.Set("Content-Type", typeJSON)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if s.config.CacheControl != "" {
		header.Set("Cache-Control", s.config.CacheControl)
	}
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body)
	}
	return nil
}
