package redisproxy

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// targetOf returns nil for the embedded store.
func targetOf(c running.Connection) (*redisstore.Target, error) {
	credentials := "redis_password"
	if c.Password == "" {
		credentials = "redis_username"
	}
	hasCredentials := c.Username != "" || c.Password != ""
	conflict := func(text string) error { return &conflictError{[]string{credentials}, text} }
	if c.Store == running.Embedded && hasCredentials {
		return nil, conflict("the embedded store takes no credentials; set store to the URL of a Redis server, or leave " + credentials + " out")
	}
	if c.Store == running.Embedded {
		return nil, nil
	}
	target, err := redisstore.Parse(c.Store)
	switch {
	case err != nil:
		return nil, &conflictError{[]string{"store"}, err.Error()}
	case !hasCredentials:
		return target, nil
	case target.HasCredentials():
		return nil, conflict("the URL of store has credentials too; take them out of the URL, or leave " + credentials + " out")
	case c.Password == "":
		return nil, conflict("a user without a password is not sent to Redis; set redis_password too")
	}
	return target.WithCredentials(c.Username, c.Password), nil
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty; write a value, or leave the line out")
	}
	return nil
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
