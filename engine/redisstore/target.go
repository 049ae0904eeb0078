package redisstore

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Target is a Redis server and database, and how to connect to it.
type Target struct {
	options *redis.Options
}

// Parse reads a URL as go-redis does: redis://user:password@host:6379/0,
// rediss:// for TLS, unix:///path?db=0, with options of the connection pool
// in the query. Options for time-outs and retries are errors: the time-out is
// a setting of the engine, and retries are this package's own business.
// Errors do not repeat the URL, which may hold a password.
func Parse(rawURL string) (*Target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("not a valid URL: expected redis://, rediss:// or unix://")
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return nil, fmt.Errorf("unknown scheme %q: expected redis://, rediss:// or unix://", u.Scheme)
	}
	for name := range u.Query() {
		if strings.Contains(name, "timeout") && name != "idle_timeout" {
			return nil, fmt.Errorf("option %q is not allowed in the URL: set redis_timeout instead", name)
		}
		if strings.Contains(name, "retr") {
			return nil, fmt.Errorf("option %q is not allowed in the URL: failed calls are repeated within redis_timeout, and never applied twice", name)
		}
	}
	options, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("not a valid URL: %s", strings.TrimPrefix(err.Error(), "redis: "))
	}
	return &Target{options: options}, nil
}

// Identity names server and database, without credentials.
func (t *Target) Identity() string {
	return fmt.Sprintf("%s:%s/%d", t.options.Network, t.options.Addr, t.options.DB)
}

// clientOptions leaves all timing to the deadlines of calls, and all retries
// to script calls, which know how to repeat without doing twice.
func (t *Target) clientOptions() *redis.Options {
	o := *t.options
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	// So many failed dials make a pool fail fast for a second; the breaker
	// renews the client long before.
	o.PoolSize = 10 * tripAfter
	// Both spare a new connection its round trips.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}
