package redisproxy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// settingType reads and checks a setting. Its fields say where the setting stands in a
// Handler (field) and, if it belongs to the engine, where it stands there (shared).
// Errors of unmarshal name the setting; those of the other methods do not.
type settingType interface {
	// unmarshal reads a line of a Caddyfile. It checks a value without placeholders at
	// once, so the error has the line.
	unmarshal(h *Handler, d *caddyfile.Dispenser) error
	// resolve replaces placeholders.
	resolve(h *Handler, repl *caddy.Replacer) error
	setDefault(h *Handler)
	// check is for a handler whose settings are resolved and have their defaults.
	check(h *Handler) error
	// share copies a setting that belongs to the engine, and returns its value. Of a setting
	// that belongs to the connection or is fixed, it returns the value. It returns nil for the
	// others.
	share(h *Handler, s *engine.Settings) any
}

// textSetting is a string. It is not set if it is empty.
type textSetting struct {
	field      func(h *Handler) *string
	valid      func(string) error // nil: any
	byDefault  string
	perRequest bool // placeholders are replaced for every request
	// ofConnection says that the setting belongs to the connection, as a secretSetting does.
	ofConnection bool
	shared       func(s *engine.Settings) *string
}

func (t textSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	if t.perRequest {
		return unmarshalTemplate(d, t.field(h), t.validate)
	}
	return unmarshalString(d, t.field(h), t.validate)
}

func (t textSetting) resolve(h *Handler, repl *caddy.Replacer) error {
	if t.perRequest {
		return nil
	}
	return resolveString(repl, t.field(h))
}

func (t textSetting) setDefault(h *Handler) { setDefaultString(t.field(h), t.byDefault) }

func (t textSetting) check(h *Handler) error {
	if *t.field(h) == "" {
		return nil
	}
	return t.validate(*t.field(h))
}

func (t textSetting) validate(value string) error {
	if t.valid == nil {
		return nil
	}
	return t.valid(value)
}

func (t textSetting) share(h *Handler, s *engine.Settings) any {
	if t.ofConnection {
		return *t.field(h)
	}
	return share(s, t.shared, *t.field(h))
}

// wordsSetting is a string of one or more words, which need no quotes. It is not set if it
// is empty.
type wordsSetting struct {
	field func(h *Handler) *string
	valid func(string) error
	// set sets the engine's settings, and returns the value in its shortest form.
	set func(s *engine.Settings, value string) any
}

func (w wordsSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	var words []string
	err := unmarshalList(d, &words, func(words []string) error { return w.valid(strings.Join(words, " ")) })
	*w.field(h) = strings.Join(words, " ")
	return err
}

func (w wordsSetting) resolve(h *Handler, repl *caddy.Replacer) error {
	return resolveString(repl, w.field(h))
}

func (wordsSetting) setDefault(*Handler) {}

func (w wordsSetting) check(h *Handler) error {
	if *w.field(h) == "" {
		return nil
	}
	return w.valid(*w.field(h))
}

func (w wordsSetting) share(h *Handler, s *engine.Settings) any { return w.set(s, *w.field(h)) }

// clearableSetting is a string that may be set to the empty string. Then it does not have
// its default.
type clearableSetting struct {
	field     func(h *Handler) **string
	valid     func(string) error
	byDefault string
}

func (c clearableSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	value := new(string)
	*c.field(h) = value
	return unmarshalString(d, value, c.valid)
}

func (c clearableSetting) resolve(h *Handler, repl *caddy.Replacer) error {
	if *c.field(h) == nil {
		return nil
	}
	return resolveString(repl, *c.field(h))
}

func (c clearableSetting) setDefault(h *Handler)  { setDefault(c.field(h), c.byDefault) }
func (c clearableSetting) check(h *Handler) error { return c.valid(**c.field(h)) }

func (clearableSetting) share(*Handler, *engine.Settings) any { return nil }

// secretSetting is a string that no error and no view may show. Secrets belong to the
// connection, which the handlers of a cache share.
type secretSetting struct {
	field     func(h *Handler) *string
	valid     func(string) error
	byDefault string
}

func (s secretSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	return unmarshalString(d, s.field(h), s.valid)
}

func (s secretSetting) resolve(h *Handler, repl *caddy.Replacer) (err error) {
	*s.field(h), err = resolveSecret(repl, *s.field(h))
	return err
}

func (s secretSetting) setDefault(h *Handler) { setDefaultString(s.field(h), s.byDefault) }

func (s secretSetting) check(h *Handler) error {
	if *s.field(h) == "" {
		return nil
	}
	return s.valid(*s.field(h))
}

func (s secretSetting) share(h *Handler, _ *engine.Settings) any { return *s.field(h) }

// listSetting is one or more strings.
type listSetting struct {
	field     func(h *Handler) *[]string
	valid     func([]string) error
	byDefault []string
	// ofConnection says that the setting belongs to the connection, as a secretSetting does.
	ofConnection bool
}

func (l listSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	return unmarshalList(d, l.field(h), l.valid)
}

func (l listSetting) resolve(h *Handler, repl *caddy.Replacer) error {
	values := *l.field(h)
	for i := range values {
		if err := resolveString(repl, &values[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l listSetting) setDefault(h *Handler) {
	if values := l.field(h); len(*values) == 0 {
		*values = slices.Clone(l.byDefault)
	}
}

func (l listSetting) check(h *Handler) error { return l.valid(*l.field(h)) }

func (l listSetting) share(h *Handler, _ *engine.Settings) any {
	if !l.ofConnection {
		return nil
	}
	return strings.Join(*l.field(h), "\n") // comparable
}

// countSetting is a number of things, at least 1.
type countSetting struct {
	field     func(h *Handler) **int
	most      int // 0 for no bound
	byDefault int
	shared    func(s *engine.Settings) *int
	// fixed says that the engine is made with the value, and cannot change it. Then shared
	// is nil.
	fixed bool
	// orOff says that the number may be 0, which switches something off.
	orOff bool
}

func (c countSetting) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	return unmarshalNumber(d, c.field(h), parseCount, c.valid)
}

func (countSetting) resolve(*Handler, *caddy.Replacer) error { return nil }

func (c countSetting) valid(n int) error {
	if c.most > 0 && n > c.most {
		return fmt.Errorf("must be at most %d; write less", c.most)
	}
	if c.orOff {
		return checkNumber(int64(n), 0, math.MaxInt64)
	}
	return checkNumber(int64(n), 1, math.MaxInt64)
}

func (c countSetting) setDefault(h *Handler)  { setDefault(c.field(h), c.byDefault) }
func (c countSetting) check(h *Handler) error { return c.valid(**c.field(h)) }

func (c countSetting) share(h *Handler, s *engine.Settings) any {
	if c.fixed {
		return **c.field(h)
	}
	return share(s, c.shared, **c.field(h))
}

// sizeSetting is a number of bytes.
type sizeSetting[T int | int64] struct {
	field       func(h *Handler) **T
	least, most int64 // most is 0 for no bound
	byDefault   T
	ifEmbedded  T // the default over the embedded store, if it is another one
	shared      func(s *engine.Settings) *T
}

func (s sizeSetting[T]) unmarshal(h *Handler, d *caddyfile.Dispenser) error {
	var n *int64
	if err := unmarshalNumber(d, &n, parseSize, s.valid); err != nil {
		return err
	}
	value := T(*n)
	*s.field(h) = &value
	return nil
}

func (sizeSetting[T]) resolve(*Handler, *caddy.Replacer) error { return nil }

func (s sizeSetting[T]) valid(n int64) error {
	return checkNumber(n, s.least, cmp.Or(s.most, math.MaxInt64))
}

func (s sizeSetting[T]) setDefault(h *Handler) {
	if h.Store == running.Embedded && s.ifEmbedded != 0 {
		setDefault(s.field(h), s.ifEmbedded)
	}
	setDefault(s.field(h), s.byDefault)
}

func (s sizeSetting[T]) check(h *Handler) error { return s.valid(int64(**s.field(h))) }

func (s sizeSetting[T]) share(h *Handler, to *engine.Settings) any {
	return share(to, s.shared, **s.field(h))
}

// durationSetting is a duration of at least a millisecond, or 0 if 0 has a meaning.
type durationSetting struct {
	field     func(h *Handler) **caddy.Duration
	zero      zeroDuration
	byDefault time.Duration
	shared    func(s *engine.Settings) *time.Duration
}

func (d durationSetting) unmarshal(h *Handler, disp *caddyfile.Dispenser) error {
	return unmarshalNumber(disp, d.field(h), parseDuration, d.valid)
}

func (durationSetting) resolve(*Handler, *caddy.Replacer) error { return nil }

func (d durationSetting) valid(value caddy.Duration) error { return checkDuration(value, d.zero) }

func (d durationSetting) setDefault(h *Handler)  { setDefault(d.field(h), caddy.Duration(d.byDefault)) }
func (d durationSetting) check(h *Handler) error { return d.valid(**d.field(h)) }

func (d durationSetting) share(h *Handler, s *engine.Settings) any {
	return share(s, d.shared, time.Duration(**d.field(h)))
}

// flagSetting is off by default. Its name alone on a line switches it on.
type flagSetting struct {
	field  func(h *Handler) *bool
	shared func(s *engine.Settings) *bool
}

func (f flagSetting) unmarshal(h *Handler, _ *caddyfile.Dispenser) error {
	*f.field(h) = true
	return nil
}

func (flagSetting) resolve(*Handler, *caddy.Replacer) error { return nil }
func (flagSetting) setDefault(*Handler)                     {}
func (flagSetting) check(*Handler) error                    { return nil }

func (f flagSetting) share(h *Handler, s *engine.Settings) any {
	return share(s, f.shared, *f.field(h))
}

// isOfConnection reports whether a setting belongs to the connection to the store.
func isOfConnection(t settingType) bool {
	switch t := t.(type) {
	case secretSetting:
		return true
	case textSetting:
		return t.ofConnection
	case listSetting:
		return t.ofConnection
	}
	return false
}

func setDefaultString(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func resolveString(repl *caddy.Replacer, s *string) error {
	value, err := repl.ReplaceOrErr(*s, true, true)
	if err != nil {
		return fmt.Errorf("%w; set it, or leave the line out", err)
	}
	*s = value
	return nil
}

// share copies a value to the engine's settings, and returns it. to is nil for a setting
// that does not belong to the engine; share then returns nil.
func share[T any](s *engine.Settings, to func(*engine.Settings) *T, value T) any {
	if to == nil {
		return nil
	}
	*to(s) = value
	return value
}
