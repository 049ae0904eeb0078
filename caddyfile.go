package redisproxy

import (
	"encoding/json"
	"errors"
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

func init() {
	httpcaddyfile.RegisterDirective("redis_proxy", parseCaddyfile)
	// After respond, like other handlers that answer. Otherwise `respond @private 401`
	// would not protect the cache.
	httpcaddyfile.RegisterDirectiveOrder("redis_proxy", httpcaddyfile.Before, "reverse_proxy")

	httpcaddyfile.RegisterDirective("redis_proxy_dashboard", parseDashboard)
	// Like redis_proxy: directives that protect the site then protect the page too.
	httpcaddyfile.RegisterDirectiveOrder("redis_proxy_dashboard", httpcaddyfile.Before, "reverse_proxy")
}

// parseCaddyfile makes a route of the directive. The directive is not registered as a
// handler directive, because such a directive does not see its matcher.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name
	inlinePath := peekInlinePath(h)
	matcherSet, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}

	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	h.Reset()
	h.Next() // for the line in errors
	if inlinePath != "" {
		if matcherSet["path"], err = matchPrefix(&handler.PathPrefix, inlinePath, "keys"); err != nil {
			return nil, h.WrapErr(err)
		}
	}
	prefix := handler.PathPrefix
	setDefaultString(&prefix, defaultPathPrefix)
	if err := checkReach(prefix, matcherSet["path"]); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(matcherSet, handler), nil
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

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	redis_proxy [<matcher>] {
//	    store            embedded|<url>
//	    redis_username   <name>
//	    redis_password   <password>
//	    redis_ca         <files...>
//	    redis_cert       <file> <key_file>
//	    redis_server_name <name>
//	    path_prefix      <path>
//	    namespace        <name>
//	    key_prefix       <text>
//	    methods          <methods...>
//	    partitions       <number>
//	    max_keys         <number>
//	    max_bytes        <size>
//	    eviction         rank|lru|adaptive
//	    rank_local_hits
//	    local_ttl        <duration>
//	    local_max_bytes  <size>
//	    max_queue_jobs   <number>
//	    max_queue_bytes  <size>
//	    max_key_size     <size>
//	    max_value_size   <size>
//	    max_answer_bytes <size>
//	    body_timeout     <duration>
//	    redis_timeout    <duration>
//	    durability       none|replicas <number>|fsync
//	    drain_timeout    <duration>
//	    stale_if_error   <duration>
//	    unsubscribed_ttl <duration>
//	    default_ttl      <duration>
//	    max_ttl          <duration>
//	    cache_control    <value>
//	    client_no_cache  honor|ignore
//	    respond_with     minimal|representation
//	    trusted_origins  <origins...>
//	    trusted_credentials
//	    listing
//	    watch            <clients>
//	    pass_errors
//	    placeholders
//	}
//
// An inline path matcher sets path_prefix. Without one it is /cache.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("redis_proxy takes no argument%s except a matcher; write settings into a block, each on a line of its own", suggest.Quoted(d.Val()))
	}
	lines := make(map[string]caddyfile.Token)
	for d.NextBlock(0) {
		name := d.Val()
		if _, isSeen := lines[name]; isSeen {
			return d.Errf("%s: it is already specified; write it once", name)
		}
		lines[name] = d.Token()
		if err := h.unmarshalSetting(d, name); err != nil {
			return err
		}
		if d.NextArg() {
			return d.Errf("%s: it takes no value; the line alone switches it on, leave it out to switch it off", name)
		}
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			return d.Errf("%s: it takes no block; write its value on the line", name)
		}
	}
	return h.checkWithLines(lines)
}

// checkWithLines checks that the settings fit together. An error names the line of the
// first of these settings that has one.
func (h *Handler) checkWithLines(lines map[string]caddyfile.Token) error {
	complete := *h
	complete.setDefaults()
	err := complete.checkTogether()
	conflict, ok := errors.AsType[*conflictError](err)
	if !ok {
		return err
	}
	for _, name := range conflict.settings {
		if line, isThere := lines[name]; isThere {
			at := caddyfile.NewDispenser([]caddyfile.Token{line})
			at.Next()
			return at.WrapErr(err)
		}
	}
	return err
}

func (h *Handler) unmarshalSetting(d *caddyfile.Dispenser, name string) error {
	for _, s := range settings {
		if s.name == name {
			return s.typ.unmarshal(h, d)
		}
	}
	return d.Err(suggest.Unknown("subdirective", name, settingNames()))
}

// parseDashboard makes a route of the directive. Like redis_proxy, the directive takes its
// prefix from an inline path matcher.
func parseDashboard(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume directive name
	inlinePath := peekInlinePath(h)
	matcherSet, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	d := new(admin.Dashboard)
	if err := unmarshalDashboard(h.Dispenser, d); err != nil {
		return nil, err
	}
	h.Reset()
	h.Next() // for the line in errors
	if inlinePath != "" {
		if matcherSet["path"], err = matchPrefix(&d.PathPrefix, inlinePath, "the files and figures of the dashboard"); err != nil {
			return nil, h.WrapErr(err)
		}
	}
	prefix := d.PathPrefix
	setDefaultString(&prefix, "/")
	if err := checkReach(prefix, matcherSet["path"]); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(matcherSet, d), nil
}

// unmarshalDashboard sets up the dashboard of a site. Syntax:
//
//	redis_proxy_dashboard [<matcher>] {
//	    path_prefix <path>
//	}
//
// A path matcher sets path_prefix, which is / without one.
func unmarshalDashboard(disp *caddyfile.Dispenser, d *admin.Dashboard) error {
	disp.Next() // consume directive name
	if disp.NextArg() {
		return disp.Errf("redis_proxy_dashboard takes no argument%s except a matcher; put path_prefix into a block", suggest.Quoted(disp.Val()))
	}
	for disp.NextBlock(0) {
		if disp.Val() != "path_prefix" {
			return disp.Err(suggest.Unknown("subdirective", disp.Val(), []string{"path_prefix"}))
		}
		if d.PathPrefix != "" {
			return disp.Err("path_prefix: it is already specified; write it once")
		}
		if err := unmarshalString(disp, &d.PathPrefix, keypath.CheckPathPrefix); err != nil {
			return err
		}
	}
	return nil
}
