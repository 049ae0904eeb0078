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

// Target is the address of a Redis server with a database, and how to connect to it.
type Target struct {
	options *redis.Options
	query   url.Values // the options of the URL, without db
	// shaking counts the connections that wait for a TLS handshake. A call that waits for
	// such a connection times out first, and does not get the handshake's error.
	shaking atomic.Int32
}

// Identity returns the name of server and database, without credentials.
func (t *Target) Identity() string {
	return fmt.Sprintf("%s:%s/%d", t.options.Network, t.options.Addr, t.options.DB)
}

// HasCredentials reports whether t has a password.
func (t *Target) HasCredentials() bool { return t.options.Password != "" }

// WithCredentials returns t with another user and password. The empty username is the
// default user of the server.
func (t *Target) WithCredentials(username, password string) *Target {
	o := *t.options
	o.Username, o.Password = username, password
	return &Target{options: &o, query: t.query}
}

// Redacted returns the URL of t with xxxxx for the password. It writes the URL anew from
// the parts that Parse read.
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

// dialTimeout bounds a dial. A dial may outlive the call that began it, for other calls.
const dialTimeout = 5 * time.Second

// clientOptions returns options without time-outs and retries of go-redis. Deadlines of
// calls bound the time, and Store.call retries without applying a batch twice. Dials end
// when life ends.
func (t *Target) clientOptions(life context.Context) *redis.Options {
	o := *t.options
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	o.ReadTimeout, o.WriteTimeout = -1, -1
	// After PoolSize failed dials, a pool fails fast for a second. The breaker renews
	// the client long before that.
	o.PoolSize = 10 * tripAfter
	// Both save round trips of a new connection.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.DialTimeout = dialTimeout
	// The TLS handshake of go-redis's own dialer has no time-out.
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

// dialError says that there is no connection, so nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// shakeHands returns a TLS connection over conn, or closes conn.
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
