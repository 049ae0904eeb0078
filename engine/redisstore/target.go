package redisstore

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Target is a Redis server and database, and how to connect to it.
type Target struct {
	options *redis.Options
	query   url.Values // the options of the URL, without db
	// shaking counts the connections that wait for TLS. Who waits for one of them
	// gives up before it does, and hears nothing of it.
	shaking atomic.Int32
}

// Identity names server and database, without credentials.
func (t *Target) Identity() string {
	return fmt.Sprintf("%s:%s/%d", t.options.Network, t.options.Addr, t.options.DB)
}

// HasCredentials reports whether there is a password.
func (t *Target) HasCredentials() bool { return t.options.Password != "" }

// WithCredentials returns t with another user and password. An empty username is
// the default user of the server.
func (t *Target) WithCredentials(username, password string) *Target {
	o := *t.options
	o.Username, o.Password = username, password
	return &Target{options: &o, query: t.query}
}

// Redacted returns the URL of t with xxxxx for the password. It is made of what
// Parse understood, not of what it was given.
func (t *Target) Redacted() string {
	o := t.options
	u := url.URL{Scheme: "redis", Host: o.Addr, Path: "/" + strconv.Itoa(o.DB), RawQuery: t.query.Encode()}
	switch {
	case o.Network == "unix":
		u.Scheme, u.Host, u.Path = "unix", "", o.Addr
		query := url.Values{"db": {strconv.Itoa(o.DB)}}
		for name, values := range t.query {
			query[name] = values
		}
		u.RawQuery = query.Encode()
	case o.TLSConfig != nil:
		u.Scheme = "rediss"
	}
	if t.HasCredentials() {
		u.User = url.UserPassword(o.Username, "xxxxx")
	}
	return u.String()
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
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := plain.DialContext(ctx, network, addr)
		if err == nil && o.TLSConfig != nil {
			conn, err = t.shakeHands(ctx, conn)
		}
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

// shakeHands makes a connection one of TLS, or closes it. The configuration has the
// name of the server, which go-redis took from the URL.
func (t *Target) shakeHands(ctx context.Context, conn net.Conn) (net.Conn, error) {
	t.shaking.Add(1)
	defer t.shaking.Add(-1)
	secure := tls.Client(conn, t.options.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{err}
	}
	return secure, nil
}
