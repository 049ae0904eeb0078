package redisproxy

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// serveWrite answers POST, PUT and DELETE.
func (h *Handler) serveWrite(w http.ResponseWriter, r *http.Request, rec *record, method methodSet, prefix, key string, where place) error {
	if err := h.crossOrigin.Check(r); err != nil {
		return h.fail(w, rec, http.StatusForbidden, err.Error()+"; `trusted_origins` in the configuration of redis_proxy allows other origins")
	}
	if where == item {
		if err := h.checkFullKey(prefix, key); err != nil {
			return h.failKey(w, rec, err)
		}
		rec.key = key
	}
	if err := checkWriteHead(r); err != nil {
		return h.failMistake(w, rec, err)
	}
	match, err := ifMatch(r.Header)
	if err != nil {
		return h.fail(w, rec, http.StatusBadRequest, err.Error())
	}
	noneMatch, err := ifNoneMatch(r.Header)
	if err != nil {
		return h.fail(w, rec, http.StatusBadRequest, err.Error())
	}

	var result store.Result
	if method == methodDelete {
		result, err = h.engine().Delete(r.Context(), prefix+key, match, noneMatch)
	} else {
		var room room
		defer room.leave()
		var value store.Value
		if key, value, err = h.readWrite(w, r, &room, prefix, key, where); err != nil {
			if _, ok := errors.AsType[*statusError](err); ok {
				return h.failMistake(w, rec, err)
			}
			if passed, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
				rec.end(statusOutcomes[passed.StatusCode])
				return err
			}
			return h.failEngine(w, r, rec, err)
		}
		rec.key = key
		if method == methodPost {
			result, err = h.engine().Create(r.Context(), prefix+key, value, match, noneMatch)
		} else {
			result, err = h.engine().Put(r.Context(), prefix+key, value, match, noneMatch)
		}
	}
	if err != nil {
		return h.failEngine(w, r, rec, err)
	}
	return h.answerWrite(w, r, rec, result, key, where)
}

// readWrite reads key and value of a POST or PUT.
func (h *Handler) readWrite(w http.ResponseWriter, r *http.Request, room *room, prefix, key string, where place) (string, store.Value, error) {
	raw := r.URL.RawQuery != "" && wantsRaw(r.URL.RawQuery)
	c, err := h.readContent(w, r, room, where, raw)
	if err != nil {
		return "", store.Value{}, err
	}
	switch {
	case where == item && c.hasKey && c.key != key:
		return "", store.Value{}, badRequest("the field key is not the key in the path; leave it out")
	case where == item:
		return key, c.value, nil
	case !c.hasKey:
		return "", store.Value{}, badRequest("the body has no field key, and the path names none either")
	}
	if err := h.checkFullKey(prefix, c.key); err != nil {
		return "", store.Value{}, badRequest("%v", err)
	}
	return c.key, c.value, nil
}

func (h *Handler) answerWrite(w http.ResponseWriter, r *http.Request, rec *record, result store.Result, key string, where place) error {
	rec.end(writeOutcome(result.Outcome))
	header := headerValues{w.Header(), make([]string, 0, 3)}
	if tag := etag(result.Version); tag != "" && result.Outcome != store.Deleted {
		header.set("Etag", tag)
	}
	switch result.Outcome {
	case store.Created:
		if location := h.location(r, key, where); location != "" {
			header.set("Location", location)
		}
		w.WriteHeader(http.StatusCreated)
	case store.Replaced:
		// As on every 200, though there is nothing to sniff, and little to keep.
		header.set("X-Content-Type-Options", "nosniff")
		if h.cacheControl != "" {
			header.set("Cache-Control", h.cacheControl)
		}
		w.WriteHeader(http.StatusOK)
	case store.Deleted:
		w.WriteHeader(http.StatusNoContent)
	case store.Conflict:
		detail := "the key exists, its value was left as it is; PUT replaces it"
		if !h.methods.has(methodPut) {
			detail = "the key exists, its value was left as it is; PUT would replace it, which `methods` in the configuration of redis_proxy switches on"
		}
		return h.answerProblem(w, rec, problem{Status: http.StatusConflict, Detail: detail, SameValue: &result.SameValue})
	case store.Absent:
		return h.fail(w, rec, http.StatusNotFound, "no entry has this key, nothing was deleted")
	case store.PreconditionFailed:
		detail := "the entry has another version than the request allows, nothing was changed; its ETag is in this answer"
		switch {
		case result.Version.Number == 0:
			detail = "no entry has the version that If-Match asks for, nothing was changed"
		case failsWeakly(r.Header, result.Version):
			detail = "nothing was changed: " + detailWeakMatch
		}
		return h.fail(w, rec, http.StatusPreconditionFailed, detail)
	case store.TooLarge:
		return h.fail(w, rec, http.StatusRequestEntityTooLarge, "key and value are larger than all entries together may be, which is what max_bytes says")
	}
	return nil
}
