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
	_ = encoder.Encode(v) // that the client has left is no error of ours
	return nil
}

func apiError(status int, detail string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(detail)}
}

func notFound(detail string) error { return apiError(http.StatusNotFound, detail) }

func badAdminRequest(format string, args ...any) error {
	return apiError(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// engineError says what the engine could not do, and what it did before.
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

// errorText says what is wrong, and what to do, which an error whose cause is known
// says itself; nothing of no error.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if engine.KindOf(err) == engine.KindUnavailable && store.CauseOf(err) == "" {
		text += "; see whether it runs, and can be reached from here"
	}
	return text
}
