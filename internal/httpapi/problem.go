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

// statusClientGone is the status that Caddy logs if the client is gone.
const statusClientGone = 499

// RetryAfter is the value of Retry-After, in seconds. Most queues drain and most
// connections come back within a second. For the others no number is right.
const RetryAfter = "1"

// problem is the body of an error, as RFC 9457 defines it. It has no type: the status
// says what is wrong, and the detail says what to do.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// SameValue says whether the stored value equals that of a POST which got 409.
	SameValue *bool `json:"same_value,omitempty"`
	// Deleted is how many entries a deletion by prefix deleted before it failed.
	Deleted *int `json:"deleted,omitempty"`
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

// failureOfEngine returns and logs the failure for an error of the engine.
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
	// Some caches keep a 404 for minutes if no header forbids it.
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/problem+json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	x.w.WriteHeader(p.Status)
	_, _ = x.w.Write(body.Bytes())
	return nil
}

// failKey answers a request whose key is not valid.
func (s *Server) failKey(x *exchange, err error) error {
	detail := err.Error()
	if err == keypath.ErrEmpty {
		detail += "; name one in the path, " + s.pathPrefix + "/{key}" + s.withoutSlash(x.r.Method)
	}
	return s.fail(x, badRequest("%s", detail))
}

// withoutSlash says what a request may be meant to do whose path ends in the slash before the
// key.
func (s *Server) withoutSlash(method string) string {
	const hint = ", or leave the last slash out to "
	switch m := methodOf(method); {
	case m == methodPost:
		return hint + "create an entry whose key is in the body"
	case m == methodDelete && s.config.Listing:
		return hint + "delete the keys with a prefix"
	case m&(methodGet|methodHead) != 0 && s.config.Listing:
		return hint + "read several keys or list them"
	case m&(methodGet|methodHead) != 0:
		return hint + "read several keys"
	}
	return ""
}
