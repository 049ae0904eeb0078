package redisproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	storeEmbedded = "embedded"

	noCacheHonor  = "honor"
	noCacheIgnore = "ignore"

	mostValueSize = 512 << 20
	mostKeySize   = 64 << 10

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
	if _, err := h.connection().target(); err != nil {
		return err
	}
	if err := checkPathPrefix(h.PathPrefix); err != nil {
		return fmt.Errorf("path_prefix: %w", err)
	}
	if err := checkNamespace(h.Namespace); err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	if err := checkKeyPrefix(h.KeyPrefix); err != nil {
		return fmt.Errorf("key_prefix: %w", err)
	}
	if _, err := parseMethods(h.Methods); err != nil {
		return fmt.Errorf("methods: %w", err)
	}
	if err := checkEviction(h.Eviction); err != nil {
		return fmt.Errorf("eviction: %w", err)
	}
	if err := checkClientNoCache(h.ClientNoCache); err != nil {
		return fmt.Errorf("client_no_cache: %w", err)
	}
	if err := checkHeaderValue(*h.CacheControl); err != nil {
		return fmt.Errorf("cache_control: %w", err)
	}
	if err := checkTenantCaching(h.KeyPrefix, *h.CacheControl); err != nil {
		return fmt.Errorf("cache_control: %w", err)
	}

	for _, n := range []struct {
		name  string
		value int64
		least int64
	}{
		{"max_keys", int64(*h.MaxKeys), 1},
		{"max_bytes", *h.MaxBytes, 0},
		{"local_ttl", int64(*h.LocalTTL), 0},
		{"local_max_bytes", *h.LocalMaxBytes, 1},
		{"max_queue_jobs", int64(*h.MaxQueueJobs), 1},
		{"max_queue_bytes", *h.MaxQueueBytes, 1},
		{"max_key_size", int64(*h.MaxKeySize), 1},
		{"max_value_size", *h.MaxValueSize, 1},
		{"redis_timeout", int64(*h.RedisTimeout), 1},
		{"drain_timeout", int64(*h.DrainTimeout), 1},
		{"stale_if_error", int64(*h.StaleIfError), 0},
		{"unsubscribed_ttl", int64(*h.UnsubscribedTTL), 0},
	} {
		if err := checkLeast(n.value, n.least); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	if *h.MaxValueSize > mostValueSize {
		return fmt.Errorf("max_value_size: must be at most %d, which is what Redis can hold", mostValueSize)
	}
	if *h.MaxKeySize > mostKeySize {
		return fmt.Errorf("max_key_size: must be at most %d", mostKeySize)
	}
	if !hasPlaceholder(h.KeyPrefix) && len(h.KeyPrefix) >= *h.MaxKeySize {
		return fmt.Errorf("key_prefix: leaves no room for a key, since both together may have %d bytes, which is what max_key_size says", *h.MaxKeySize)
	}
	if largest := int64(*h.MaxKeySize) + *h.MaxValueSize; *h.MaxQueueBytes < largest {
		return fmt.Errorf("max_queue_bytes: must be at least %d, max_key_size and max_value_size together: the largest values would never be taken", largest)
	}
	return nil
}

func checkLeast(value, least int64) error {
	switch {
	case value >= least:
		return nil
	case least == 0:
		return errors.New("must not be negative")
	default:
		return errors.New("must be greater than 0")
	}
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
		return fmt.Errorf("%q must begin with a slash", prefix)
	case prefix != "/" && strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q must not end with a slash", prefix)
	case strings.Contains(prefix, "*"):
		return fmt.Errorf("%q must not contain a wildcard: it is a prefix by itself", prefix)
	case strings.Contains(prefix, "//") || hasDotSegment(prefix):
		return fmt.Errorf("%q must not have empty, . or .. segments", prefix)
	case (&url.URL{Path: prefix}).EscapedPath() != prefix:
		return fmt.Errorf("%q must not contain characters that a URL has to percent-encode", prefix)
	}
	return nil
}

func checkNamespace(namespace string) error {
	ok := len(namespace) >= 1 && len(namespace) <= 64
	for _, c := range []byte(namespace) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("_.:-", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%q must be 1 to 64 of A-Z a-z 0-9 _ . : -", namespace)
	}
	return nil
}

func checkEviction(name string) error {
	if _, ok := store.PolicyByName(name); ok {
		return nil
	}
	names := make([]string, len(store.Policies))
	for i, p := range store.Policies {
		names[i] = p.Name
	}
	return fmt.Errorf("unknown policy %q: expected %s", name, strings.Join(names, ", "))
}

func checkClientNoCache(value string) error {
	if value != noCacheHonor && value != noCacheIgnore {
		return fmt.Errorf("unknown value %q: expected %s or %s", value, noCacheHonor, noCacheIgnore)
	}
	return nil
}

func checkOrigin(origin string) error {
	return new(http.CrossOriginProtection).AddTrustedOrigin(origin)
}

func checkHeaderValue(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("%q must not contain control characters", value)
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
