package httpapi

import (
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// exchange is one request with its answer. It lives as long as Serve runs.
type exchange struct {
	w   http.ResponseWriter
	r   *http.Request
	rec record
	// op is the operation, if method and place alone do not tell it.
	op running.Operation

	where     keypath.Place
	key       string // without keyPrefix
	keyPrefix string // key_prefix, with the placeholders replaced
}
