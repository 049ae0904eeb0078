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
	value, err := oneValue(d)
	if err != nil {
		return err
	}
	*s = value
	if err := check(value); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	return nil
}

// oneValue returns the only argument of a subdirective. Errors repeat none of
// several, as Caddy's own would: they may be parts of a password.
func oneValue(d *caddyfile.Dispenser) (string, error) {
	name := d.Val()
	args := d.RemainingArgs()
	switch len(args) {
	case 0:
		return "", missingValue(d, name)
	case 1:
		return args[0], nil
	}
	return "", d.Errf("%s: takes one value, and there are %d; put one that has spaces in double quotes", name, len(args))
}

func missingValue(d *caddyfile.Dispenser, name string) error {
	return d.Errf("%s: its value is missing; a variable {$NAME} that is not set leaves none, and a # behind a space begins a comment", name)
}

func unmarshalList(d *caddyfile.Dispenser, list *[]string, check func([]string) error) error {
	name := d.Val()
	*list = d.RemainingArgs()
	if len(*list) == 0 {
		return missingValue(d, name)
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
