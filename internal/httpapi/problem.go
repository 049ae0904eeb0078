package httpapi

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

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// statusClientGone is what Caddy records for a request whose client has left.
const statusClientGone = 499

// RetryAfter is in seconds: queues drain and connections come back sooner than
// that, or not soon.
const RetryAfter = "1"

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

// fail counts and answers an error: a *failure, or one of the engine's.
func (s *Server) fail(x *exchange, err error) error {
	f, isRefused := errors.AsType[*failure](err)
	if !isRefused {
		f = s.failureOfEngine(x, err)
	}
	x.rec.end(f.outcome)
	if f.detail == "" {
		return caddyhttp.Error(f.status, f.err)
	}
	return s.answerProblem(x, problem{Status: f.status, Detail: f.detail})
}

// failureOfEngine is failureOf for an error that stopped a request.
func (s *Server) failureOfEngine(x *exchange, err error) *failure {
	if x.r.Context().Err() == context.Canceled {
		return &failure{clientGone, "", err}
	}
	f := failureOf(err)
	if f.detail != "" {
		if c := s.config.Logger.Check(zapcore.DebugLevel, "request not served"); c != nil {
			c.Write(zap.Int("status", f.status), zap.Error(err))
		}
	}
	return f
}

// answerProblem answers a problem. The request must be counted before.
func (s *Server) answerProblem(x *exchange, p problem) error {
	header := x.w.Header()
	if p.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", RetryAfter)
	}
	if s.config.PassErrors {
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
	x.w.WriteHeader(p.Status)
	_, _ = x.w.Write(body.Bytes())
	return nil
}

func (s *Server) failKey(x *exchange, err error) error {
	detail := err.Error()
	if err == keypath.ErrEmpty {
		detail += "; name one in the path, " + s.pathPrefix + "/{key}, or leave the last slash out to create an entry whose key is in the body"
	}
	return s.fail(x, badRequest("%s", detail))
}
