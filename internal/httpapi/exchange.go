package httpapi

import (
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// exchange is one request with its answer. It lives as long as Serve runs.
type exchange struct {
	w   http.ResponseWriter
	r   *http.Request
	rec record

	where     keypath.Place
	key       string // without keyPrefix
	keyPrefix string // key_prefix, with the placeholders replaced
}
