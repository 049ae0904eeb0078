package redisproxy

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalString checks what has no placeholder.
func unmarshalString(d *caddyfile.Dispenser, s *string, check func(string) error) error {
	return unmarshalTemplate(d, s, func(s string) error {
		if hasPlaceholder(s) {
			return nil
		}
		return check(s)
	})
}

// unmarshalTemplate checks a string with its placeholders.
func unmarshalTemplate(d *caddyfile.Dispenser, s *string, check func(string) error) error {
	name := d.Val()
	if !d.NextArg() {
		return d.ArgErr()
	}
	*s = d.Val()
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
