package redisproxy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// unmarshalString reads a string. It checks a string without placeholders.
func unmarshalString(d *caddyfile.Dispenser, s *string, check func(string) error) error {
	return unmarshalTemplate(d, s, func(s string) error {
		if hasPlaceholder(s) {
			return nil
		}
		return check(s)
	})
}

// unmarshalTemplate reads a string, and checks it with its placeholders.
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

// oneValue returns the only argument of a subdirective. If there are several, the error
// does not repeat them, as Caddy's own error would: they may be parts of a password.
func oneValue(d *caddyfile.Dispenser) (string, error) {
	name := d.Val()
	args := d.RemainingArgs()
	switch len(args) {
	case 0:
		return "", missingValue(d, name)
	case 1:
		return args[0], nil
	}
	return "", d.Errf("%s: takes one value, and there are %d; put a value with spaces in double quotes", name, len(args))
}

func missingValue(d *caddyfile.Dispenser, name string) error {
	return d.Errf("%s: its value is missing; a variable {$NAME} that is not set gives no value, and a # after a space begins a comment", name)
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

func unmarshalNumber[T any](d *caddyfile.Dispenser, n **T, parse func(string) (T, error), check func(T) error) error {
	name := d.Val()
	text, err := oneValue(d)
	if err != nil {
		return err
	}
	if hasPlaceholder(text) {
		return d.Errf("%s: %v", name, noPlaceholder(text))
	}
	value, err := parse(text)
	if err == nil {
		err = check(value)
	}
	if err != nil {
		return d.Errf("%s: %v", name, err)
	}
	*n = &value
	return nil
}

// noPlaceholder explains that a number takes no placeholder. In JSON it is a number, and
// only strings have placeholders.
func noPlaceholder(s string) error {
	instead := "{$NAME}"
	if variable, ok := strings.CutPrefix(strings.TrimSuffix(s, "}"), "{env."); ok {
		instead = "{$" + variable + "}"
	}
	return fmt.Errorf("numbers, sizes and durations take no placeholder such as %s; "+
		"write a value, or %s, which is replaced by a variable of the environment as the Caddyfile is read", s, instead)
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("'%s' is too large; write a whole number such as 10000", s)
	case err != nil:
		return 0, fmt.Errorf("'%s' is no whole number; write one such as 10000", s)
	}
	return n, nil
}

func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	switch {
	case err == nil && n > math.MaxInt64:
		return 0, fmt.Errorf("'%s' is too large; write a size such as 64MiB", s)
	case err != nil:
		return 0, fmt.Errorf("'%s' is no size; write one such as 64MiB, 64MB or 1024", s)
	}
	return int64(n), nil
}

func parseDuration(s string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("'%s' is no duration; write a number with a unit, such as 30s, 250ms or 1d", s)
	}
	return caddy.Duration(d), nil
}
