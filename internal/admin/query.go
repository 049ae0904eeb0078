package admin

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// parseQuery reads query parameters, each at most once. An unknown parameter is an error,
// because a typo in its name must not change the meaning of a request.
func parseQuery(r *http.Request, known ...string) (map[string]string, error) {
	query := make(map[string]string)
	for name, value := range content.FormFields(r.URL.RawQuery) {
		_, isThere := query[name]
		switch {
		case !slices.Contains(known, name):
			return nil, badAdminRequest("unknown parameter %q; expected %s", name, strings.Join(known, ", "))
		case isThere:
			return nil, badAdminRequest("the parameter %s is there twice", name)
		case !utf8.ValidString(value):
			return nil, badAdminRequest("the parameter %s is not valid UTF-8", name)
		}
		query[name] = value
	}
	return query, nil
}
