package redisproxy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

func unmarshalCount(d *caddyfile.Dispenser, n **int) error {
	return unmarshalNumber(d, n, parseCount, func(n int) error { return checkNumber(int64(n), 1, math.MaxInt64) })
}

func unmarshalSize[T int | int64](d *caddyfile.Dispenser, n **T, least, most int64) error {
	parse := func(s string) (T, error) {
		size, err := parseSize(s)
		return T(size), err
	}
	return unmarshalNumber(d, n, parse, func(n T) error { return checkNumber(int64(n), least, most) })
}

func unmarshalDuration(d *caddyfile.Dispenser, n **caddy.Duration, zero zeroDuration) error {
	return unmarshalNumber(d, n, parseDuration, func(n caddy.Duration) error { return checkDuration(n, zero) })
}

func unmarshalNumber[T any](d *caddyfile.Dispenser, n **T, parse func(string) (T, error), check func(T) error) error {
	name := d.Val()
	if !d.NextArg() {
		return d.ArgErr()
	}
	if hasPlaceholder(d.Val()) {
		return d.Errf("%s: %v", name, noPlaceholder(d.Val()))
	}
	value, err := parse(d.Val())
	if err == nil {
		err = check(value)
	}
	if err != nil {
		return d.Errf("%s: %v", name, err)
	}
	*n = &value
	return nil
}

// noPlaceholder says why a number has none: in JSON it is a number, not a string.
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
