package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

func init() { caddy.RegisterModule(Dashboard{}) }

// Dashboard serves a page that shows the caches of this Caddy process, and the
// same figures and keys as JSON. It only reads: methods other than GET and HEAD
// are answered with 405.
//
// Anyone who can open it can read all keys and values, so put it behind the
// site's authentication. Requests outside `path_prefix` go to the next handler.
type Dashboard struct {
	// The path of the page, literal and case-sensitive. Default: `/`, or the path of
	// an inline matcher in a Caddyfile.
	PathPrefix string `json:"path_prefix,omitempty"`

	prefix string // PathPrefix, or "" for "/"
	api    *handler
}

// CaddyModule returns the Caddy module information.
func (Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.redis_proxy_dashboard",
		New: func() caddy.Module { return new(Dashboard) },
	}
}

// Provision sets the default.
func (d *Dashboard) Provision(caddy.Context) error {
	if d.PathPrefix == "" {
		d.PathPrefix = "/"
	}
	d.prefix = strings.TrimSuffix(d.PathPrefix, "/")
	d.api = &handler{base: d.prefix}
	return nil
}

// Validate checks the path.
func (d *Dashboard) Validate() error {
	if err := keypath.CheckPathPrefix(d.PathPrefix); err != nil {
		return fmt.Errorf("path_prefix: %w", err)
	}
	return nil
}

// ServeHTTP answers requests at and below the prefix, and passes others on.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	name, where := keypath.Cut(r.URL, d.prefix)
	if where == keypath.Outside {
		if keypath.IsNearMiss(r.URL, d.prefix) {
			return caddyhttp.Error(http.StatusNotFound, errors.New("the path prefix is taken literally"))
		}
		return next.ServeHTTP(w, r)
	}
	// A matcher that protects this path sees it without dot segments, and may take it
	// for another path. No file and no key has such segments.
	if keypath.HasDotSegment(r.URL.Path) {
		return caddyhttp.Error(http.StatusNotFound, errors.New("paths of the dashboard have no . or .. segments"))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, errors.New("the dashboard on a site only reads; use GET or HEAD"))
	}
	if outer := httpapi.SentURL(r).EscapedPath(); name == "" && !strings.HasSuffix(outer, "/") {
		// The target is relative, because a proxy before Caddy may have stripped a prefix
		// that only the client knows. It begins with ./, because a segment may look like a
		// scheme.
		w.Header().Set("Location", "./"+outer[strings.LastIndexByte(outer, '/')+1:]+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	err := d.api.ServeHTTP(w, r)
	if failed, ok := errors.AsType[caddy.APIError](err); ok {
		// Caddy's admin endpoint answers errors like this. The page shows the text.
		return writeJSON(w, failed.HTTPStatus, map[string]string{"error": failed.Error()})
	}
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddy.Validator             = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)
