package httpapi

import (
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// answerWrite answers a write with the decision of the store: also 404, 409, 412 and 413,
// after which nothing was changed. written is the value that the request asked to write.
func (s *Server) answerWrite(x *exchange, written store.Value, result store.Result) error {
	x.rec.end(writeOutcome(result.Outcome))
	header := headerValues{x.w.Header(), make([]string, 0, 3)}
	if tag := ETag(result.Version); tag != "" && result.Outcome != store.Deleted {
		header.set("Etag", tag)
	}
	switch result.Outcome {
	case store.Created:
		if location := s.pathOf(x.r).Location(x.key, x.where); location != "" {
			header.set("Location", location)
		}
		s.endWrite(x, http.StatusCreated, written, result.Version)
	case store.Replaced:
		// Every 200 has these headers, even this one without a body.
		header.set("X-Content-Type-Options", "nosniff")
		if s.config.CacheControl != "" {
			header.set("Cache-Control", s.config.CacheControl)
		}
		s.endWrite(x, http.StatusOK, written, result.Version)
	case store.Deleted:
		x.w.WriteHeader(http.StatusNoContent)
	default:
		p := s.writeProblem(result, x.r.Header["If-Match"])
		return s.answerProblem(x, p)
	}
	return nil
}

// writeProblem returns the problem of a write that changed nothing. ifMatch has the lines of
// its If-Match.
func (s *Server) writeProblem(result store.Result, ifMatch []string) problem {
	switch result.Outcome {
	case store.Conflict:
		detail := "the key exists, its value was left as it is; PUT replaces it"
		if !s.config.Methods.has(methodPut) {
			detail = "the key exists, its value was left as it is; PUT would replace it, but it is not in `methods` in the configuration of redis_proxy"
		}
		return problem{Status: http.StatusConflict, Detail: detail, SameValue: &result.SameValue}
	case store.Absent:
		return problem{Status: http.StatusNotFound, Detail: "no entry has this key, nothing was deleted"}
	case store.PreconditionFailed:
		detail := "the entry has another version than the request allows, nothing was changed; its ETag is in this answer"
		switch {
		case result.Version.Number == 0:
			detail = "no entry has the version that If-Match asks for, nothing was changed"
		case failsWeakly(ifMatch, result.Version):
			detail = "nothing was changed: " + detailWeakMatch
		}
		return problem{Status: http.StatusPreconditionFailed, Detail: detail}
	default: // store.TooLarge
		return problem{Status: http.StatusRequestEntityTooLarge, Detail: "key and value together are larger than max_bytes, the limit for all entries"}
	}
}
