package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// kind says how the server with the data is found.
type kind byte

const (
	single   kind = iota
	socket        // on this machine
	sentinel      // by Sentinels
	cluster       // a node of a Redis Cluster
)

// Target is the address of a Redis server with a database, and how to connect to it. It
// may also be the addresses of servers that know which server it is.
type Target struct {
	kind    kind
	options *redis.Options
	query   url.Values // the options of the URL, without db
	hasDB   bool       // the path of the URL has a database
	// hosts are the addresses in the URL, but of a socket. primary is the name that
	// Sentinels have for the primary, and these are the credentials for them.
	hosts                          []string
	primary                        string
	sentinelUser, sentinelPassword string
	secure                         TLS
	// shaking counts the connections that wait for a TLS handshake. A call that waits for
	// such a connection times out first, and does not get the handshake's error.
	shaking atomic.Int32
	// asked says that a server asked for the certificate of this side.
	asked atomic.Bool
}

// Identity returns the name of server and database, without credentials.
func (t *Target) Identity() string {
	if t.kind == single || t.kind == socket {
		return fmt.Sprintf("%s:%s/%d", t.options.Network, t.options.Addr, t.options.DB)
	}
	name := "cluster"
	if t.kind == sentinel {
		name = "sentinel:" + t.primary
	}
	// In any order, the hosts are the same servers.
	return fmt.Sprintf("%s:%s/%d", name, strings.Join(slices.Sorted(slices.Values(t.hosts)), ","), t.options.DB)
}

// IsCluster reports whether t is a Redis Cluster.
func (t *Target) IsCluster() bool { return t.kind == cluster }

// HasCredentials reports whether t has a password.
func (t *Target) HasCredentials() bool { return t.options.Password != "" }

// WithCredentials returns t with another user and password. The empty username is the
// default user of the server.
func (t *Target) WithCredentials(username, password string) *Target {
	changed := t.clone()
	changed.options.Username, changed.options.Password = username, password
	return changed
}

// clone returns t with options of its own.
func (t *Target) clone() *Target {
	options := *t.options
	return &Target{
		kind: t.kind, options: &options, query: t.query, hasDB: t.hasDB, hosts: t.hosts, primary: t.primary,
		sentinelUser: t.sentinelUser, sentinelPassword: t.sentinelPassword, secure: t.secure,
	}
}

// Redacted returns the URL of t with xxxxx for the password. It writes the URL anew from
// the parts that Parse read.
func (t *Target) Redacted() string {
	o := t.options
	query := url.Values{}
	for name, values := range t.query {
		query[name] = values
		if name == "sentinel_password" {
			query[name] = []string{"xxxxx"}
		}
	}
	u := url.URL{Scheme: "redis", Host: strings.Join(t.hosts, ","), Path: "/" + strconv.Itoa(o.DB)}
	if o.TLSConfig != nil {
		u.Scheme = "rediss"
	}
	switch t.kind {
	case socket:
		u.Scheme, u.Path = "unix", o.Addr
		query.Set("db", strconv.Itoa(o.DB))
	case sentinel:
		u.Scheme, u.Path = u.Scheme+"+sentinel", "/"+t.primary+u.Path
	case cluster:
		u.Scheme, u.Path = u.Scheme+"+cluster", ""
	}
	u.RawQuery = query.Encode()
	if t.HasCredentials() {
		u.User = url.UserPassword(o.Username, "xxxxx")
	}
	return u.String()
}

// dialTimeout bounds a dial. A dial may outlive the call that began it, for other calls.
const dialTimeout = 5 * time.Second

// clientOptions returns options for the server at addr, without time-outs and retries of
// go-redis. Deadlines of calls bound the time, and Store.call retries without applying a
// batch twice. Dials end when life ends.
func (t *Target) clientOptions(life context.Context, addr string) *redis.Options {
	o := *t.options
	o.Addr = addr
	if o.TLSConfig != nil {
		host, _, _ := net.SplitHostPort(addr)
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.GetClientCertificate = t.clientCertificate
		o.TLSConfig.ServerName = cmp.Or(t.secure.ServerName, host)
	}
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
		switch {
		case err != nil:
		case o.TLSConfig == nil:
			conn = &rawHearingConn{hearingConn{Conn: conn}}
		default:
			if conn, err = t.shakeHands(ctx, conn, o.TLSConfig, addr); err == nil {
				conn = &hearingConn{Conn: conn}
			}
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
func (t *Target) shakeHands(ctx context.Context, conn net.Conn, config *tls.Config, addr string) (net.Conn, error) {
	t.shaking.Add(1)
	defer t.shaking.Add(-1)
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{err, addr}
	}
	return secure, nil
}

// clientCertificate is the GetClientCertificate of all connections. It also returns a
// certificate that no CA of the server has issued: the server then says so.
func (t *Target) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	t.asked.Store(true)
	if t.secure.own == nil {
		return new(tls.Certificate), nil
	}
	return t.secure.own, nil
}
