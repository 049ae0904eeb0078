package redisproxy

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// connection is what says where the store is, as configured.
type connection struct{ store, username, password string }

func (h *Handler) connection() connection {
	return connection{h.Store, h.RedisUsername, h.RedisPassword}
}

// target returns nil for the embedded store.
func (c connection) target() (*redisstore.Target, error) {
	credentials := "redis_password"
	if c.password == "" {
		credentials = "redis_username"
	}
	hasCredentials := c.username != "" || c.password != ""
	conflict := func(text string) error { return &conflictError{[]string{credentials}, text} }
	if c.store == storeEmbedded && hasCredentials {
		return nil, conflict("the embedded store takes no credentials; set store to the URL of a Redis server, or leave " + credentials + " out")
	}
	if c.store == storeEmbedded {
		return nil, nil
	}
	target, err := redisstore.Parse(c.store)
	switch {
	case err != nil:
		return nil, &conflictError{[]string{"store"}, err.Error()}
	case !hasCredentials:
		return target, nil
	case target.HasCredentials():
		return nil, conflict("the URL of store has credentials too; take them out of the URL, or leave " + credentials + " out")
	case c.password == "":
		return nil, conflict("a user without a password is not sent to Redis; set redis_password too")
	}
	return target.WithCredentials(c.username, c.password), nil
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty; write a value, or leave the line out")
	}
	return nil
}

// redactedStore returns the setting `store` without its password.
func (s *shared) redactedStore() string {
	if s.target == nil {
		return s.connection.store
	}
	return s.target.Redacted()
}

// globalPlaceholder finds what is surely meant as a placeholder.
var globalPlaceholder = regexp.MustCompile(`\{(env|file|system)\.[\w./:\\-]+\}`)

// resolveSecret replaces the placeholders in a string of which no part may be
// shown. Caddy's errors repeat whatever stands between braces, which in a password
// is a part of it.
func resolveSecret(repl *caddy.Replacer, s string) (string, error) {
	value, err := repl.ReplaceOrErr(s, true, true)
	switch {
	case err == nil:
		return value, nil
	case globalPlaceholder.MatchString(err.Error()):
		return "", fmt.Errorf("%w; set it, or leave the line out", err)
	}
	return "", errors.New(`there are braces around something that is no placeholder such as {env.NAME} or {file./path}; ` +
		`write \{ for a brace, in a URL %7B`)
}
