package redisproxy

import (
	"math"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// ServeHTTP answers requests at and below the prefix, and passes others on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	key, where := h.server.Locate(r)
	if where == keypath.Outside {
		if h.reach.passedOn() {
			h.logger.Warn("this handler has passed on all requests so far, because none was at or below path_prefix; if clients do ask for its keys, check path_prefix, the matcher, and the handle, handle_path and rewrite directives around it (docs/sites.md)",
				zap.String("path_prefix", h.PathPrefix), zap.Int("passed_on", passedUntilWarned))
		}
		return next.ServeHTTP(w, r)
	}
	h.reach.answered()
	return h.server.Serve(w, r, key, where)
}

const (
	// passedUntilWarned is the number of requests after which a handler warns that it
	// has passed on all of them. The mistake is hard to see: Caddy answers a request
	// that no handler takes with an empty 200.
	passedUntilWarned = 100

	// isSettled is so far below 0 that late additions do not make it positive.
	isSettled = math.MinInt32 / 2
)

// reach finds out whether requests for its keys reach a handler. Once that is known, it
// costs no more than reading a number.
type reach struct {
	passed atomic.Int32 // negative when there is nothing more to notice
}

func (r *reach) answered() {
	if r.passed.Load() >= 0 {
		r.passed.Store(isSettled)
	}
}

// passedOn counts a request that was passed on. It returns true at most once, when it is
// time to warn.
func (r *reach) passedOn() bool {
	if r.passed.Load() < 0 || r.passed.Add(1) != passedUntilWarned {
		return false
	}
	r.passed.Store(isSettled)
	return true
}
