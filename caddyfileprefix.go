package redisproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/internal/admin"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

// parseDashboard makes a route of redis_proxy_dashboard.
func parseDashboard(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	d := new(admin.Dashboard)
	return parseBelowPrefix(h, d, &d.PathPrefix, "the files and figures of the dashboard")
}

// parseHealth makes a route of redis_proxy_health.
func parseHealth(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	health := new(admin.Health)
	return parseBelowPrefix(h, health, &health.PathPrefix, "ready, serving and live")
}

// parseBelowPrefix makes a route of a handler whose only setting is its path prefix. Like
// redis_proxy, its directive takes the prefix from an inline path matcher. Errors call the
// paths below the prefix by the name below.
func parseBelowPrefix(h httpcaddyfile.Helper, handler caddyhttp.MiddlewareHandler, pathPrefix *string, below string) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name
	inlinePath := peekInlinePath(h)
	matcherSet, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	if err := unmarshalPathPrefix(h.Dispenser, pathPrefix); err != nil {
		return nil, err
	}
	h.Reset()
	h.Next() // for the line in errors
	if inlinePath != "" {
		if matcherSet["path"], err = matchPrefix(pathPrefix, inlinePath, below); err != nil {
			return nil, h.WrapErr(err)
		}
	}
	prefix := *pathPrefix
	setDefaultString(&prefix, "/")
	if err := checkReach(prefix, matcherSet["path"]); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(matcherSet, handler), nil
}

// unmarshalPathPrefix reads a directive whose only subdirective is path_prefix. Syntax:
//
//	redis_proxy_dashboard|redis_proxy_health [<matcher>] {
//	    path_prefix <path>
//	}
//
// A path matcher sets path_prefix, which is / without one.
func unmarshalPathPrefix(d *caddyfile.Dispenser, pathPrefix *string) error {
	d.Next()
	directive := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no argument%s except a matcher; put path_prefix into a block", directive, suggest.Quoted(d.Val()))
	}
	for d.NextBlock(0) {
		if d.Val() != "path_prefix" {
			return d.Err(suggest.Unknown("subdirective", d.Val(), []string{"path_prefix"}))
		}
		if *pathPrefix != "" {
			return d.Err("path_prefix: it is already specified; write it once")
		}
		if err := unmarshalString(d, pathPrefix, keypath.CheckPathPrefix); err != nil {
			return err
		}
	}
	return nil
}

// peekInlinePath returns the directive's matcher if it is a path, and otherwise "".
func peekInlinePath(h httpcaddyfile.Helper) string {
	if !h.NextArg() {
		return ""
	}
	defer h.Prev()
	if strings.HasPrefix(h.Val(), "/") {
		return h.Val()
	}
	return ""
}

// matchPrefix takes the prefix from an inline path matcher unless it is set,
// and returns the matcher to use. Errors call the paths below the prefix by the
// name below.
//
// For /kv/* the matcher is /kv*. It also matches /kv, where clients create entries
// with the key in the body. The handler passes on other paths, such as /kvx. A
// matcher of two paths would cost the route its place: Caddy puts longer paths
// first only if each matcher has one path.
func matchPrefix(pathPrefix *string, pattern, below string) (json.RawMessage, error) {
	prefix, isTree := strings.CutSuffix(pattern, "/*")
	isPrefix := isTree
	if !isPrefix {
		prefix, isPrefix = strings.CutSuffix(pattern, "*")
	}
	if prefix == "" {
		prefix = "/"
	}
	if *pathPrefix == "" {
		if !isPrefix {
			return nil, fmt.Errorf("the matcher %s matches this path alone, and %s are below it: write %s/*, or set path_prefix", pattern, below, strings.TrimSuffix(pattern, "/"))
		}
		if err := keypath.CheckPathPrefix(prefix); err != nil {
			return nil, fmt.Errorf("the matcher %s cannot give the path prefix, set path_prefix: %w", pattern, err)
		}
		*pathPrefix = prefix
	}
	if isTree && prefix != "/" && prefix == *pathPrefix {
		pattern = prefix + "*"
	}
	return caddyconfig.JSON(caddyhttp.MatchPath{pattern}, nil), nil
}

// checkReach refuses a path prefix that the path matcher never matches. Caddy would
// answer every request with an empty 200.
func checkReach(prefix string, matcher json.RawMessage) error {
	if matcher == nil {
		return nil
	}
	var patterns caddyhttp.MatchPath
	if err := json.Unmarshal(matcher, &patterns); err != nil {
		return nil // Caddy reports it
	}
	if slices.ContainsFunc(patterns, func(p string) bool { return canMeet(p, prefix) }) {
		return nil
	}
	return fmt.Errorf("path_prefix %s is never matched by the matcher %s", prefix, strings.Join(patterns, " "))
}

// canMeet reports whether a path pattern can match the prefix or a path below it. It
// returns true if it cannot tell. Like the matcher, it ignores case.
func canMeet(pattern, prefix string) bool {
	if strings.Contains(prefix+pattern, "{") || strings.Contains(pattern, "%") {
		return true
	}
	pattern, below := strings.ToLower(pattern), strings.TrimSuffix(strings.ToLower(prefix), "/")+"/"
	if strings.Contains(pattern, "//") {
		return true // such a pattern also matches paths with empty segments
	}
	start, rest, isWild := strings.Cut(pattern, "*")
	if !isWild {
		return pattern+"/" == below || strings.HasPrefix(pattern, below)
	}
	if rest == "" {
		return strings.HasPrefix(below, start) || strings.HasPrefix(start, below)
	}
	return true
}
