package redisproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// conflictError says that settings do not fit together. Its text begins with the first
// one.
type conflictError struct {
	settings []string
	text     string
}

func (e *conflictError) Error() string { return e.settings[0] + ": " + e.text }

// checkTogether checks that the settings fit together. It skips settings that still have
// placeholders. All settings must be set.
func (h *Handler) checkTogether() error {
	if !hasPlaceholder(h.Store + h.RedisUsername + h.RedisPassword) {
		target, err := h.target()
		if err != nil {
			return err
		}
		if err := h.checkPartitioned(target); err != nil {
			return err
		}
	}
	if err := h.checkShares(); err != nil {
		return err
	}
	if d, err := store.ParseDurability(h.Durability); h.Store == running.Embedded && err == nil && d != store.InMemory {
		return &conflictError{
			[]string{"durability", "store"},
			"the embedded store has no replicas and no disk; set store to the URL of a Redis server, or leave durability out",
		}
	}
	if err := h.checkTTLs(); err != nil {
		return err
	}
	if least := httpapi.LeastPrefixSize(h.KeyPrefix); least >= *h.MaxKeySize {
		return &conflictError{
			[]string{"key_prefix", "max_key_size"},
			fmt.Sprintf("it has %d bytes and leaves no room for a key, because max_key_size allows %d for both together; write a shorter prefix, or a larger max_key_size",
				least, *h.MaxKeySize),
		}
	}
	if !hasPlaceholder(*h.CacheControl) {
		if err := httpapi.CheckTenantCaching(h.KeyPrefix, *h.CacheControl); err != nil {
			return &conflictError{[]string{"cache_control", "key_prefix"}, err.Error()}
		}
	}
	if h.TrustedCredentials && len(h.TrustedOrigins) == 0 {
		return &conflictError{
			[]string{"trusted_credentials", "trusted_origins"},
			"it lets pages of trusted_origins use the cookies of their visitors, and trusted_origins names none; name them, or leave trusted_credentials out",
		}
	}
	if largest := int64(*h.MaxKeySize) + *h.MaxValueSize; *h.MaxQueueBytes < largest {
		return &conflictError{
			[]string{"max_queue_bytes", "max_value_size", "max_key_size"},
			fmt.Sprintf("%s has no room for the largest entry; write at least %d, the sum of max_key_size (%s) and max_value_size (%s)",
				sizeText(*h.MaxQueueBytes), largest, sizeText(int64(*h.MaxKeySize)), sizeText(*h.MaxValueSize)),
		}
	}
	return nil
}

// checkTTLs checks how long entries may live. Requests count in whole seconds.
func (h *Handler) checkTTLs() error {
	byDefault, most := time.Duration(*h.DefaultTTL), time.Duration(*h.MaxTTL)
	switch {
	case byDefault > store.MaxTTL:
		return &conflictError{[]string{"default_ttl"}, fmt.Sprintf("%v is longer than 100 years; write less, or 0 for entries that do not expire", byDefault)}
	case most > store.MaxTTL:
		return &conflictError{[]string{"max_ttl"}, fmt.Sprintf("%v is longer than 100 years; write less, or 0 for no limit", most)}
	case most > 0 && most < time.Second:
		return &conflictError{[]string{"max_ttl"}, fmt.Sprintf("%v is shorter than a second, and requests ask for whole seconds; write at least 1s", most)}
	case most > 0 && byDefault == 0:
		return &conflictError{[]string{"default_ttl", "max_ttl"}, "0 would let entries live for ever, and max_ttl forbids that; leave default_ttl out for max_ttl itself, or write a time up to it"}
	case most > 0 && byDefault > most:
		return &conflictError{[]string{"default_ttl", "max_ttl"}, fmt.Sprintf("%v is longer than max_ttl, %v; write less", byDefault, most)}
	}
	return nil
}

func checkNumber(value, least, most int64) error {
	switch {
	case value < 0 && least == 0:
		return errors.New("must not be negative; write 0 or more")
	case value < least:
		return errors.New("must be greater than 0; leave the line out for the default")
	case value > most:
		return fmt.Errorf("must be at most %s (%d); write less", sizeText(most), most)
	}
	return nil
}

// sizeText writes a size as in a Caddyfile, with a unit if that is exact. The text of
// package humanize is rounded.
func sizeText(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes > 0 && bytes%unit.bytes == 0 {
			return strconv.FormatInt(bytes/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// zeroDuration says whether a duration may be 0.
type zeroDuration bool

const (
	notZero zeroDuration = false
	orZero  zeroDuration = true
)

// checkDuration also refuses durations below a millisecond. In JSON such a duration is a
// bare number, and its author thought of another unit than nanoseconds.
func checkDuration(d caddy.Duration, zero zeroDuration) error {
	switch {
	case d < 0 && zero == orZero:
		return errors.New(`must not be negative; write 0, or a duration such as "30s"`)
	case d < 0 || d == 0 && zero == notZero:
		return errors.New(`must be greater than 0; write a duration such as "1s"`)
	case d > 0 && time.Duration(d) < time.Millisecond:
		return fmt.Errorf(`%v is shorter than a millisecond; write it with a unit, such as "30s": a bare number in JSON means nanoseconds`, time.Duration(d))
	}
	return nil
}

func checkStore(s string) error {
	if s == running.Embedded {
		return nil
	}
	if !strings.Contains(s, "://") {
		return errors.New("it is no URL; write embedded, or a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
	}
	_, err := redisstore.Parse(s)
	return err
}

func checkMethods(names []string) error {
	_, err := httpapi.ParseMethods(names)
	return err
}

func checkClientNoCache(value string) error {
	if value != noCacheHonor && value != noCacheIgnore {
		return fmt.Errorf("it does not take %q; write %s or %s", value, noCacheHonor, noCacheIgnore)
	}
	return nil
}

func checkOrigins(origins []string) error {
	protection := new(http.CrossOriginProtection)
	for _, origin := range origins {
		if strings.Contains(origin, "*") {
			return fmt.Errorf("%q has a wildcard: pages of sites that nobody named could write with the cookies of their visitors; name each origin as scheme://host[:port], such as https://app.example.com", origin)
		}
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("%w; write scheme://host[:port], such as https://app.example.com", err)
		}
		if strings.ContainsFunc(origin, func(c rune) bool { return c >= utf8.RuneSelf }) {
			return fmt.Errorf("%q is not ASCII; write its host as browsers send it, with xn--", origin)
		}
		if sent := asBrowsersSend(origin); sent != origin {
			return fmt.Errorf("browsers never send %q, and origins must be equal to the byte; write %s", origin, sent)
		}
	}
	return nil
}

// asBrowsersSend returns an origin in the form that it has in the header Origin: scheme
// and host in lower case, and no port that is the default of the scheme (RFC 6454, section
// 6.1).
func asBrowsersSend(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return origin
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host
}

func checkDurability(value string) error {
	_, err := store.ParseDurability(value)
	return err
}

// leastFsyncTimeout is the least redis_timeout that suits `durability fsync`. With
// appendfsync everysec, a write waits for a batch that waits up to a second, and then a
// second in its own batch.
const leastFsyncTimeout = 3 * time.Second

// warnOfFsync warns if redis_timeout is too short for `durability fsync`.
func (h *Handler) warnOfFsync(s *engine.Settings) {
	if s.Durability == store.Fsync && s.Timeout < leastFsyncTimeout {
		h.logger.Warn("redis_timeout is short for durability fsync: with appendfsync everysec, Redis takes up to a second to confirm a write, and a write may wait for another one first; set redis_timeout to 3s or more",
			zap.Duration("redis_timeout", s.Timeout), zap.String("namespace", h.Namespace))
	}
}

func checkHeaderValue(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("%q has control characters; leave them out", value)
		}
	}
	return nil
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty; write a value, or leave the line out")
	}
	return nil
}

// globalPlaceholder matches text that is certainly meant as a placeholder.
var globalPlaceholder = regexp.MustCompile(`\{(env|file|system)\.[\w./:\\-]+\}`)

// resolveSecret replaces the placeholders in a secret. Its errors show no part of the
// secret. Caddy's own errors repeat the text between braces, which may be a part of a
// password.
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
