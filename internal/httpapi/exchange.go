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
	// where the path lies, and the key in it, without prefix: what key_prefix puts
	// before the key in the store.
	where     keypath.Place
	key       string
	keyPrefix string
}
