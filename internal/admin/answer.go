package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
)

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // it fails only if the client has disconnected
	return nil
}

func apiError(status int, detail string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(detail)}
}

func notFound(detail string) error { return apiError(http.StatusNotFound, detail) }

func badAdminRequest(format string, args ...any) error {
	return apiError(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// engineError returns an error of the engine as an API error. done, if not empty, says which
// part of the request was done before.
func engineError(w http.ResponseWriter, err error, done string) error {
	status := httpapi.StatusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", httpapi.RetryAfter)
	}
	detail := errorText(err)
	if done != "" {
		detail += "; " + done
	}
	return apiError(status, detail)
}

// errorText returns the text of an error with advice, or "" for nil. An error with a known
// cause has its advice already.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if engine.KindOf(err) == engine.KindUnavailable && store.CauseOf(err) == "" {
		text += "; check that it runs and that this host can reach it"
	}
	return text
}
