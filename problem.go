package redisproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// statusClientGone is what Caddy records for a request whose client has left.
const statusClientGone = 499

// retryAfter is in seconds: queues drain and connections come back sooner than
// that, or not soon.
const retryAfter = "1"

// problem is an error for the client, in the form of RFC 9457. It has no type:
// the status says what it is, the detail what to do.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// SameValue answers a POST of an existing key: is the stored value the
	// same?
	SameValue *bool `json:"same_value,omitempty"`
}

// fail answers an error with a detail for the client.
func (h *Handler) fail(w http.ResponseWriter, rec *record, status int, detail string) error {
	return h.answerProblem(w, rec, problem{Status: status, Detail: detail})
}

// failMistake answers a *statusError.
func (h *Handler) failMistake(w http.ResponseWriter, rec *record, err error) error {
	mistake, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	return h.fail(w, rec, mistake.status, mistake.detail)
}

func (h *Handler) answerProblem(w http.ResponseWriter, rec *record, p problem) error {
	rec.end(statusOutcome(p.Status))
	header := w.Header()
	if p.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", retryAfter)
	}
	if h.PassErrors {
		return caddyhttp.Error(p.Status, errors.New(p.Detail))
	}

	p.Title = http.StatusText(p.Status)
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		return err
	}
	// Some caches keep a 404 for minutes when nothing tells them not to.
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/problem+json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body.Bytes())
	return nil
}

// failEngine answers what the engine could not do.
func (h *Handler) failEngine(w http.ResponseWriter, r *http.Request, rec *record, err error) error {
	if r.Context().Err() == context.Canceled {
		rec.end(outcomeClientGone)
		return caddyhttp.Error(statusClientGone, err)
	}
	rec.end(errorOutcome(err))
	status, detail := http.StatusServiceUnavailable, ""
	cause := causeDetails[store.CauseOf(err)]
	switch {
	case errors.Is(err, engine.ErrNotLocal):
		status = http.StatusGatewayTimeout
		detail = "no fresh value is held locally, and only-if-cached forbids to ask the store; repeat the request without it"
	case errors.Is(err, engine.ErrMayBeApplied) && cause != "":
		detail = cause + ": the write may have been applied, or may still be; read the key before you repeat it"
	case errors.Is(err, engine.ErrMayBeApplied):
		detail = "the store did not answer in time: the write may have been applied, or may still be; read the key before you repeat it"
	case errors.Is(err, errShareFull):
		detail = "the bodies that this client is sending leave no room for another large one, nothing was changed; let them end, and repeat the request later"
	case errors.Is(err, errBodiesFull):
		detail = "so many bodies are arriving that there is no room for another large one, nothing was changed; repeat the request later"
	case errors.Is(err, engine.ErrQueueFull):
		detail = "too many writes are waiting, nothing was changed; repeat the request later"
	case errors.Is(err, engine.ErrClosed):
		detail = "this configuration is closing down, nothing was changed; repeat the request"
	case cause != "":
		detail = cause + ", nothing was changed; the log of this server tells what to do"
	case errors.Is(err, engine.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		detail = "the store did not get to the request in time, nothing was changed; repeat it later"
	case errors.Is(err, engine.ErrTooMuchAtOnce):
		detail = "so many entries have to leave for this value, or for others written with it, that it takes several steps, of which this was one; repeat the request"
	case errors.Is(err, engine.ErrRefused):
		detail = "the store answers with an error, nothing was changed; the log of this server tells which"
	case errors.Is(err, engine.ErrUnavailable):
		detail = "the store cannot be reached, nothing was changed; repeat the request later"
	default:
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	if c := h.logger.Check(zapcore.DebugLevel, "request not served"); c != nil {
		c.Write(zap.Int("status", status), zap.Error(err))
	}
	return h.fail(w, rec, status, detail)
}
