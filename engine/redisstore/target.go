package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

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
		return nil, errors.New("not a valid URL: expected redis://, rediss:// or unix://; " +
			"in a user or password, percent-encode / ? # @ and %")
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return nil, errors.New("unknown scheme: expected redis://, rediss:// or unix://")
	}
	for name := range u.Query() {
		switch name {
		case "dial_timeout", "read_timeout", "write_timeout", "pool_timeout":
			return nil, fmt.Errorf("option %s is not allowed in the URL: set redis_timeout instead", name)
		case "max_retries", "min_retry_backoff", "max_retry_backoff":
			return nil, fmt.Errorf("option %s is not allowed in the URL: failed calls are repeated within redis_timeout, and never applied twice", name)
		case "pool_size":
			return nil, fmt.Errorf("option %s is not allowed in the URL: as many connections are used as calls need, which are a few", name)
		}
	}
	options, err := redis.ParseURL(rawURL)
	if err != nil {
		// go-redis's words repeat parts of the URL, which are parts of the
		// password where that holds a slash.
		return nil, errors.New("not a valid URL: the path must be a database number, and the options those of go-redis; " +
			"in a user or password, percent-encode / ? # @ and %")
	}
	if options.DB < 0 {
		return nil, errors.New("the number of the database must not be negative")
	}
	if _, port, err := net.SplitHostPort(options.Addr); err == nil && options.Network == "tcp" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port must be a number from 1 to 65535")
		}
	}
	return &Target{options: options}, nil
}

// Identity names server and database, without credentials.
func (t *Target) Identity() string {
	return fmt.Sprintf("%s:%s/%d", t.options.Network, t.options.Addr, t.options.DB)
}

// dialTimeout bounds a dial that goes on for others after the call that began
// it has ended.
const dialTimeout = 5 * time.Second

// clientOptions leaves all timing to the deadlines of calls, and all retries
// to script calls, which know how to repeat without doing twice. Dials end with
// life.
func (t *Target) clientOptions(life context.Context) *redis.Options {
	o := *t.options
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	o.ReadTimeout, o.WriteTimeout = -1, -1
	// So many failed dials make a pool fail fast for a second; the breaker
	// renews the client long before.
	o.PoolSize = 10 * tripAfter
	// Both spare a new connection its round trips.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.DialTimeout = dialTimeout
	// Not go-redis's own dialer, whose TLS handshake knows no time-out.
	plain := &net.Dialer{KeepAlive: time.Minute}
	dial := plain.DialContext
	if o.TLSConfig != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: o.TLSConfig}).DialContext
	}
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
	return &o
}

// dialError says that no connection came about: nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }
