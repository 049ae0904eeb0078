package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// serveDeletePrefix answers DELETE of the collection: it deletes the entries whose keys
// begin with a prefix. When the client leaves, it stops.
func (s *Server) serveDeletePrefix(x *exchange) error {
	x.op = running.OpDeletePrefix
	q := parseCollectionQuery(x.r.URL.RawQuery)
	if err := s.checkDeletePrefix(x.r, &q); err != nil {
		return s.fail(x, err)
	}
	prefix, _, err := s.listingOf(x, &q)
	if err != nil {
		return s.fail(x, err)
	}
	deleted, err := s.config.Cache.Engine.DeletePrefix(x.r.Context(), x.keyPrefix+prefix)
	if err != nil {
		return s.failDeletePrefix(x, deleted, err)
	}
	x.rec.end(running.OutcomeDeleted)
	return s.answerJSON(x, []byte(`{"deleted":`+strconv.Itoa(deleted)+`}`))
}

// checkDeletePrefix refuses what would make it another deletion than it looks like.
func (s *Server) checkDeletePrefix(r *http.Request, q *collectionQuery) error {
	if err := s.config.CrossOrigin.Check(r); err != nil {
		return forbidden.because(err.Error() + "; `trusted_origins` in the configuration of redis_proxy allows other origins")
	}
	if err := checkWriteHead(r); err != nil {
		return err
	}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if r.Header[name] != nil {
			return badRequest("%s is for one entry, and this request deletes many; send it without, or delete the entries one by one", name)
		}
	}
	if _, err := queryTTL(r); err != nil {
		return err
	}
	switch {
	case q.watch.count > 0:
		return badRequest("the query has watch, which is for GET; leave it out")
	case q.misspelt != "":
		return q.check(r.URL.RawQuery)
	case q.prefix.count == 0:
		return badRequest("say what to delete: prefix=… for the keys that begin with it, prefix= for all keys, or a key in the path")
	case q.key.count+q.limit.count+q.cursor.count > 0:
		return badRequest("DELETE takes no key, limit or cursor beside prefix; it deletes all keys with the prefix, or the one in the path")
	}
	return nil
}

// failDeletePrefix answers a deletion that failed on its way.
func (s *Server) failDeletePrefix(x *exchange, deleted int, err error) error {
	f := failureOf(err)
	if x.r.Context().Err() == context.Canceled || f.detail == "" {
		return s.fail(x, err)
	}
	x.rec.end(f.outcome)
	why := "the deletion ended early"
	if cause := causeDetails[store.CauseOf(err)]; cause != "" {
		why += ", because " + cause
	}
	detail := fmt.Sprintf("%s: %d entries were deleted, perhaps some more; repeat the request to delete the others", why, deleted)
	return s.answerProblem(x, problem{Status: f.status, Detail: detail, Deleted: &deleted})
}
