package redisproxy

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

func init() {
	// Before redis_proxy, since directives with the same place run in the order of these
	// calls. Otherwise a redis_proxy with the prefix / would take /ready for a key.
	httpcaddyfile.RegisterDirective("redis_proxy_health", parseHealth)
	httpcaddyfile.RegisterDirectiveOrder("redis_proxy_health", httpcaddyfile.Before, "reverse_proxy")

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
