package redisproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

func init() {
	httpcaddyfile.RegisterDirective("redis_proxy", parseCaddyfile)
	// After respond, as a terminal handler: else a site's `respond @private 401`
	// would not protect the cache.
	httpcaddyfile.RegisterDirectiveOrder("redis_proxy", httpcaddyfile.Before, "reverse_proxy")
}

// parseCaddyfile makes a route of the directive. It is no handler directive,
// which would not get to see the matcher.
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
		if matcherSet["path"], err = matchPrefix(&handler.PathPrefix, inlinePath); err != nil {
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

// peekInlinePath returns the path that is the directive's matcher, if it is one.
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
// and returns the matcher to use. That of /kv/* is /kv*, which also matches
// /kv, where entries are created whose key is in the body; the handler passes
// on what else it matches. (A matcher of two paths would cost the route its
// place: Caddy puts longer paths first only where each has one.)
func matchPrefix(pathPrefix *string, pattern string) (json.RawMessage, error) {
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
			return nil, fmt.Errorf("the matcher %s meets no key: write %s/*, or set path_prefix", pattern, strings.TrimSuffix(pattern, "/"))
		}
		if err := checkPathPrefix(prefix); err != nil {
			return nil, fmt.Errorf("the matcher %s cannot give the path prefix, set path_prefix: %w", pattern, err)
		}
		*pathPrefix = prefix
	}
	if isTree && prefix != "/" && prefix == *pathPrefix {
		pattern = prefix + "*"
	}
	return caddyconfig.JSON(caddyhttp.MatchPath{pattern}, nil), nil
}

// checkReach refuses a path prefix that a path matcher can never meet: Caddy
// would answer every request with an empty 200.
func checkReach(prefix string, matcher json.RawMessage) error {
	if matcher == nil {
		return nil
	}
	var patterns caddyhttp.MatchPath
	if err := json.Unmarshal(matcher, &patterns); err != nil {
		return nil // not ours to judge
	}
	if slices.ContainsFunc(patterns, func(p string) bool { return canMeet(p, prefix) }) {
		return nil
	}
	return fmt.Errorf("path_prefix %s can never be met by the matcher %s", prefix, strings.Join(patterns, " "))
}

// canMeet reports whether a path pattern can match prefix or a path below it;
// true where that cannot be told. Like the matcher it ignores case.
func canMeet(pattern, prefix string) bool {
	if strings.Contains(prefix+pattern, "{") || strings.Contains(pattern, "%") {
		return true
	}
	pattern, below := strings.ToLower(pattern), strings.TrimSuffix(strings.ToLower(prefix), "/")+"/"
	if strings.Contains(pattern, "//") {
		return true // also matches what is no longer clean
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
//	    path_prefix      <path>
//	    namespace        <name>
//	    key_prefix       <text>
//	    methods          <methods...>
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
//	    drain_timeout    <duration>
//	    stale_if_error   <duration>
//	    unsubscribed_ttl <duration>
//	    cache_control    <value>
//	    client_no_cache  honor|ignore
//	    trusted_origins  <origins...>
//	    pass_errors
//	    placeholders
//	}
//
// A path matcher sets path_prefix, which is /cache without one.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("redis_proxy takes no argument%s beside a matcher; put all settings into a block", suggest.Quoted(d.Val()))
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
			return d.ArgErr()
		}
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			return d.Errf("%s: it takes no block; write its value on the line", name)
		}
	}
	return h.checkWithLines(lines)
}

// checkWithLines checks what settings demand of each other, and reports the line
// of the first one that is there.
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
	switch name {
	case "store":
		return unmarshalSecret(d, &h.Store, checkStore)
	case "redis_username":
		return unmarshalSecret(d, &h.RedisUsername, checkNotEmpty)
	case "redis_password":
		return unmarshalSecret(d, &h.RedisPassword, checkNotEmpty)
	case "path_prefix":
		return unmarshalString(d, &h.PathPrefix, checkPathPrefix)
	case "namespace":
		return unmarshalString(d, &h.Namespace, store.CheckNamespace)
	case "key_prefix":
		if !d.NextArg() {
			return d.ArgErr()
		}
		h.KeyPrefix = d.Val()
		if err := checkKeyPrefix(h.KeyPrefix); err != nil {
			return d.Errf("%s: %v", name, err)
		}
		return nil
	case "methods":
		return unmarshalList(d, &h.Methods, func(names []string) error {
			_, err := parseMethods(names)
			return err
		})
	case "max_keys":
		return unmarshalCount(d, &h.MaxKeys)
	case "max_bytes":
		return unmarshalSize(d, &h.MaxBytes, 0, math.MaxInt64)
	case "eviction":
		return unmarshalString(d, &h.Eviction, store.CheckPolicy)
	case "rank_local_hits":
		h.RankLocalHits = true
		return nil
	case "local_ttl":
		return unmarshalDuration(d, &h.LocalTTL, orZero)
	case "local_max_bytes":
		return unmarshalSize(d, &h.LocalMaxBytes, 1, math.MaxInt64)
	case "max_queue_jobs":
		return unmarshalCount(d, &h.MaxQueueJobs)
	case "max_queue_bytes":
		return unmarshalSize(d, &h.MaxQueueBytes, 1, math.MaxInt64)
	case "max_key_size":
		return unmarshalSize(d, &h.MaxKeySize, 1, httpapi.MaxKeySize)
	case "max_value_size":
		return unmarshalSize(d, &h.MaxValueSize, 1, mostValueSize)
	case "max_answer_bytes":
		return unmarshalSize(d, &h.MaxAnswerBytes, 1, math.MaxInt64)
	case "body_timeout":
		return unmarshalDuration(d, &h.BodyTimeout, notZero)
	case "redis_timeout":
		return unmarshalDuration(d, &h.RedisTimeout, notZero)
	case "drain_timeout":
		return unmarshalDuration(d, &h.DrainTimeout, notZero)
	case "stale_if_error":
		return unmarshalDuration(d, &h.StaleIfError, orZero)
	case "unsubscribed_ttl":
		return unmarshalDuration(d, &h.UnsubscribedTTL, orZero)
	case "cache_control":
		h.CacheControl = new(string)
		return unmarshalString(d, h.CacheControl, checkHeaderValue)
	case "client_no_cache":
		return unmarshalString(d, &h.ClientNoCache, checkClientNoCache)
	case "trusted_origins":
		return unmarshalList(d, &h.TrustedOrigins, checkOrigins)
	case "pass_errors":
		h.PassErrors = true
		return nil
	case "placeholders":
		h.Placeholders = true
		return nil
	default:
		return d.Err(suggest.Unknown("subdirective", name, settingNames[Handler]()))
	}
}

// unmarshalString checks at once what has no placeholder: the mistake is then
// shown with its line.
func unmarshalString(d *caddyfile.Dispenser, s *string, check func(string) error) error {
	name := d.Val()
	if !d.NextArg() {
		return d.ArgErr()
	}
	*s = d.Val()
	if hasPlaceholder(*s) {
		return nil
	}
	if err := check(*s); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	return nil
}

// unmarshalSecret is unmarshalString for what no error may repeat, as Caddy's own
// about the number of arguments do.
func unmarshalSecret(d *caddyfile.Dispenser, s *string, check func(string) error) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("%s: takes one value, and there are %d; put one that has spaces in double quotes", name, len(args))
	}
	*s = args[0]
	if hasPlaceholder(*s) {
		return nil
	}
	if err := check(*s); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	return nil
}

func unmarshalList(d *caddyfile.Dispenser, list *[]string, check func([]string) error) error {
	name := d.Val()
	*list = d.RemainingArgs()
	if len(*list) == 0 {
		return d.ArgErr()
	}
	if slices.ContainsFunc(*list, hasPlaceholder) {
		return nil
	}
	if err := check(*list); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	return nil
}

func hasPlaceholder(s string) bool { return strings.Contains(s, "{") }
