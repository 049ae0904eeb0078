package redisproxy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
)

const (
	storeEmbedded = "embedded"

	noCacheHonor  = "honor"
	noCacheIgnore = "ignore"

	mostValueSize = 512 << 20

	defaultPathPrefix       = "/cache"
	defaultNamespace        = "cache"
	defaultMaxKeys          = 10_000
	defaultEmbeddedMaxBytes = 256 << 20
	defaultLocalTTL         = 30 * time.Second
	defaultLocalMaxBytes    = 64 << 20
	defaultMaxQueueJobs     = 4096
	defaultMaxQueueBytes    = 64 << 20
	defaultMaxKeySize       = 512
	defaultMaxValueSize     = 1 << 20
	defaultMaxAnswerBytes   = 8 << 20
	defaultBodyTimeout      = 30 * time.Second
	defaultRedisTimeout     = time.Second
	defaultDrainTimeout     = 5 * time.Second
	defaultUnsubscribedTTL  = time.Second
	defaultCacheControl     = "no-cache"
)

var defaultMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

// resolve replaces the placeholders in all strings.
func (h *Handler) resolve(repl *caddy.Replacer) error {
	if err := h.resolveConnection(repl); err != nil {
		return err
	}
	resolve := func(name string, s *string) error {
		value, err := repl.ReplaceOrErr(*s, true, true)
		if err != nil {
			return fmt.Errorf("%s: %w; set it, or leave the line out", name, err)
		}
		*s = value
		return nil
	}
	fields := []struct {
		name  string
		value *string
	}{
		{"path_prefix", &h.PathPrefix},
		{"namespace", &h.Namespace},
		{"eviction", &h.Eviction},
		{"client_no_cache", &h.ClientNoCache},
	}
	if h.CacheControl != nil {
		fields = append(fields, struct {
			name  string
			value *string
		}{"cache_control", h.CacheControl})
	}
	for _, f := range fields {
		if err := resolve(f.name, f.value); err != nil {
			return err
		}
	}
	for i := range h.Methods {
		if err := resolve("methods", &h.Methods[i]); err != nil {
			return err
		}
	}
	for i := range h.TrustedOrigins {
		if err := resolve("trusted_origins", &h.TrustedOrigins[i]); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) setDefaults() {
	setDefaultString(&h.Store, storeEmbedded)
	setDefaultString(&h.PathPrefix, defaultPathPrefix)
	setDefaultString(&h.Namespace, defaultNamespace)
	setDefaultString(&h.Eviction, store.Policies[0].Name)
	setDefaultString(&h.ClientNoCache, noCacheHonor)
	if len(h.Methods) == 0 {
		h.Methods = slices.Clone(defaultMethods)
	}
	setDefault(&h.MaxKeys, defaultMaxKeys)
	if h.Store == storeEmbedded {
		// Nothing else would keep it from filling the memory of the process.
		setDefault(&h.MaxBytes, defaultEmbeddedMaxBytes)
	}
	setDefault(&h.MaxBytes, 0)
	setDefault(&h.LocalTTL, caddy.Duration(defaultLocalTTL))
	setDefault(&h.LocalMaxBytes, defaultLocalMaxBytes)
	setDefault(&h.MaxQueueJobs, defaultMaxQueueJobs)
	setDefault(&h.MaxQueueBytes, defaultMaxQueueBytes)
	setDefault(&h.MaxKeySize, defaultMaxKeySize)
	setDefault(&h.MaxValueSize, defaultMaxValueSize)
	setDefault(&h.MaxAnswerBytes, defaultMaxAnswerBytes)
	setDefault(&h.BodyTimeout, caddy.Duration(defaultBodyTimeout))
	setDefault(&h.RedisTimeout, caddy.Duration(defaultRedisTimeout))
	setDefault(&h.DrainTimeout, caddy.Duration(defaultDrainTimeout))
	setDefault(&h.StaleIfError, 0)
	setDefault(&h.UnsubscribedTTL, caddy.Duration(defaultUnsubscribedTTL))
	setDefault(&h.CacheControl, defaultCacheControl)
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

// Validate checks all settings, which must have been provisioned.
func (h *Handler) Validate() error {
	if err := checkPathPrefix(h.PathPrefix); err != nil {
		return fmt.Errorf("path_prefix: %w", err)
	}
	if err := store.CheckNamespace(h.Namespace); err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	if err := checkKeyPrefix(h.KeyPrefix); err != nil {
		return fmt.Errorf("key_prefix: %w", err)
	}
	if _, err := parseMethods(h.Methods); err != nil {
		return fmt.Errorf("methods: %w", err)
	}
	if err := store.CheckPolicy(h.Eviction); err != nil {
		return fmt.Errorf("eviction: %w", err)
	}
	if err := checkClientNoCache(h.ClientNoCache); err != nil {
		return fmt.Errorf("client_no_cache: %w", err)
	}
	if err := checkOrigins(h.TrustedOrigins); err != nil {
		return fmt.Errorf("trusted_origins: %w", err)
	}
	if err := checkHeaderValue(*h.CacheControl); err != nil {
		return fmt.Errorf("cache_control: %w", err)
	}

	for _, n := range []struct {
		name        string
		value       int64
		least, most int64
	}{
		{"max_keys", int64(*h.MaxKeys), 1, math.MaxInt64},
		{"max_bytes", *h.MaxBytes, 0, math.MaxInt64},
		{"local_max_bytes", *h.LocalMaxBytes, 1, math.MaxInt64},
		{"max_queue_jobs", int64(*h.MaxQueueJobs), 1, math.MaxInt64},
		{"max_queue_bytes", *h.MaxQueueBytes, 1, math.MaxInt64},
		{"max_key_size", int64(*h.MaxKeySize), 1, httpapi.MaxKeySize},
		{"max_value_size", *h.MaxValueSize, 1, mostValueSize},
		{"max_answer_bytes", *h.MaxAnswerBytes, 1, math.MaxInt64},
	} {
		if err := checkNumber(n.value, n.least, n.most); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	for _, d := range []struct {
		name  string
		value caddy.Duration
		zero  zeroDuration
	}{
		{"local_ttl", *h.LocalTTL, orZero},
		{"body_timeout", *h.BodyTimeout, notZero},
		{"redis_timeout", *h.RedisTimeout, notZero},
		{"drain_timeout", *h.DrainTimeout, notZero},
		{"stale_if_error", *h.StaleIfError, orZero},
		{"unsubscribed_ttl", *h.UnsubscribedTTL, orZero},
	} {
		if err := checkDuration(d.value, d.zero); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return h.checkTogether()
}

// conflictError is about settings that do not fit together. Its text begins with
// the first of them.
type conflictError struct {
	settings []string
	text     string
}

func (e *conflictError) Error() string { return e.settings[0] + ": " + e.text }

// checkTogether checks what settings demand of each other, as far as they have no
// placeholders yet. All must be set.
func (h *Handler) checkTogether() error {
	if !hasPlaceholder(h.Store + h.RedisUsername + h.RedisPassword) {
		if _, err := h.connection().target(); err != nil {
			return err
		}
	}
	// A placeholder stands for one byte at least.
	if least := len(placeholder.ReplaceAllString(h.KeyPrefix, "x")); least >= *h.MaxKeySize {
		return &conflictError{
			[]string{"key_prefix", "max_key_size"},
			fmt.Sprintf("it has %d bytes and leaves no room for a key, since both together may have %d, which is what max_key_size says; write a shorter one, or a larger max_key_size",
				least, *h.MaxKeySize),
		}
	}
	if !hasPlaceholder(*h.CacheControl) {
		if err := checkTenantCaching(h.KeyPrefix, *h.CacheControl); err != nil {
			return &conflictError{[]string{"cache_control", "key_prefix"}, err.Error()}
		}
	}
	if largest := int64(*h.MaxKeySize) + *h.MaxValueSize; *h.MaxQueueBytes < largest {
		return &conflictError{
			[]string{"max_queue_bytes", "max_value_size", "max_key_size"},
			fmt.Sprintf("%d would never take the largest values; write at least %d, which is max_key_size and max_value_size together", *h.MaxQueueBytes, largest),
		}
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
		return fmt.Errorf("must be at most %d; write less", most)
	}
	return nil
}

// zeroDuration says whether a duration may be 0.
type zeroDuration bool

const (
	notZero zeroDuration = false
	orZero  zeroDuration = true
)

// checkDuration refuses what is shorter than a millisecond: in JSON that is
// a number whose author thought of another unit.
func checkDuration(d caddy.Duration, zero zeroDuration) error {
	switch {
	case d < 0 && zero == orZero:
		return errors.New(`must not be negative; write 0, or a duration such as "30s"`)
	case d < 0 || d == 0 && zero == notZero:
		return errors.New(`must be greater than 0; write a duration such as "1s"`)
	case d > 0 && time.Duration(d) < time.Millisecond:
		return fmt.Errorf(`%v is shorter than a millisecond; write it with a unit, such as "30s": a bare number in JSON is one of nanoseconds`, time.Duration(d))
	}
	return nil
}

func checkStore(s string) error {
	if s == storeEmbedded {
		return nil
	}
	_, err := redisstore.Parse(s)
	return err
}

// checkPathPrefix demands a prefix that reads the same in every escaped path,
// so that comparing it is comparing bytes.
func checkPathPrefix(prefix string) error {
	switch {
	case !strings.HasPrefix(prefix, "/"):
		return fmt.Errorf("%q does not begin with a slash; write a path such as /cache", prefix)
	case prefix != "/" && strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q must not end with a slash; leave it out", prefix)
	case strings.Contains(prefix, "*"):
		return fmt.Errorf("%q must not contain a wildcard; leave it out, it is a prefix by itself", prefix)
	case strings.Contains(prefix, "//") || httpapi.HasDotSegment(prefix):
		return fmt.Errorf("%q must not have empty, . or .. segments; write the path as clients send it", prefix)
	case (&url.URL{Path: prefix}).EscapedPath() != prefix:
		return fmt.Errorf("%q must not contain characters that a URL has to percent-encode; write others", prefix)
	}
	return nil
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
			return fmt.Errorf("%q would let a page of any site write with the cookies of its visitors; name each origin as scheme://host[:port], such as https://app.example.com", origin)
		}
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("%w; write scheme://host[:port], such as https://app.example.com", err)
		}
	}
	return nil
}

func checkHeaderValue(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("%q has control characters; leave them out", value)
		}
	}
	return nil
}

// shared is what all handlers of one identity in one configuration have in
// common.
type shared struct {
	connection connection
	target     *redisstore.Target // nil for the embedded store
	namespace  string
	settings   engine.Settings
}

func (h *Handler) sharedSettings() (shared, error) {
	s := shared{
		connection: h.connection(),
		namespace:  h.Namespace,
		settings: engine.Settings{
			Limits: store.Limits{
				MaxKeys:  *h.MaxKeys,
				MaxBytes: *h.MaxBytes,
				Eviction: h.Eviction,
			},
			LocalTTL:        time.Duration(*h.LocalTTL),
			LocalMaxBytes:   *h.LocalMaxBytes,
			RankLocalHits:   h.RankLocalHits,
			StaleIfError:    time.Duration(*h.StaleIfError),
			UnsubscribedTTL: time.Duration(*h.UnsubscribedTTL),
			MaxQueueJobs:    *h.MaxQueueJobs,
			MaxQueueBytes:   *h.MaxQueueBytes,
			Timeout:         time.Duration(*h.RedisTimeout),
			DrainTimeout:    time.Duration(*h.DrainTimeout),
		},
	}
	var err error
	if s.target, err = s.connection.target(); err != nil {
		return shared{}, err
	}
	return s, nil
}

// identity tells engines apart: server, database and namespace. Credentials
// are no part of it, so that changing them keeps the engine.
func (s *shared) identity() string {
	if s.target == nil {
		return storeEmbedded + " " + s.namespace
	}
	return s.target.Identity() + " " + s.namespace
}

// difference names a field in which s and t differ, or is empty.
func (s *shared) difference(t *shared) string {
	a, b := &s.settings, &t.settings
	switch {
	case s.connection.store != t.connection.store:
		return "store"
	case s.connection.username != t.connection.username:
		return "redis_username"
	case s.connection.password != t.connection.password:
		return "redis_password"
	case a.Limits.MaxKeys != b.Limits.MaxKeys:
		return "max_keys"
	case a.Limits.MaxBytes != b.Limits.MaxBytes:
		return "max_bytes"
	case a.Limits.Eviction != b.Limits.Eviction:
		return "eviction"
	case a.RankLocalHits != b.RankLocalHits:
		return "rank_local_hits"
	case a.LocalTTL != b.LocalTTL:
		return "local_ttl"
	case a.LocalMaxBytes != b.LocalMaxBytes:
		return "local_max_bytes"
	case a.MaxQueueJobs != b.MaxQueueJobs:
		return "max_queue_jobs"
	case a.MaxQueueBytes != b.MaxQueueBytes:
		return "max_queue_bytes"
	case a.Timeout != b.Timeout:
		return "redis_timeout"
	case a.DrainTimeout != b.DrainTimeout:
		return "drain_timeout"
	case a.StaleIfError != b.StaleIfError:
		return "stale_if_error"
	case a.UnsubscribedTTL != b.UnsubscribedTTL:
		return "unsubscribed_ttl"
	}
	return ""
}
