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

// Dashboard serves a page with what the caches of this Caddy do, and the
// figures and keys that it shows as JSON. It only reads: methods other than GET
// and HEAD are answered with 405.
//
// Whoever may open it can read all keys and values, so put it behind the
// site's authentication. Requests outside `path_prefix` go to the next handler.
type Dashboard struct {
	// The path below which the page lies, literal and case-sensitive. Default:
	// `/`, or the path of an inline matcher in a Caddyfile.
	PathPrefix string `json:"path_prefix,omitempty"`

	prefix string // PathPrefix without the slash of a mere "/"
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
	// A matcher that protects this path sees it without dot segments, where it
	// may be another one. No file and no key has any.
	if keypath.HasDotSegment(r.URL.Path) {
		return caddyhttp.Error(http.StatusNotFound, errors.New("nothing of the dashboard has . or .. segments"))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, errors.New("the dashboard of a site only reads"))
	}
	if outer := httpapi.SentURL(r).EscapedPath(); name == "" && !strings.HasSuffix(outer, "/") {
		// Relative, as only the client knows what may be stripped before Caddy;
		// and with ./, since a segment may look like a scheme.
		w.Header().Set("Location", "./"+outer[strings.LastIndexByte(outer, '/')+1:]+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	err := d.api.ServeHTTP(w, r)
	if failed, ok := errors.AsType[caddy.APIError](err); ok {
		// As the admin endpoint does: the page shows the reason.
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
