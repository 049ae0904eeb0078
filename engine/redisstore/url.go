package redisstore

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// escaping is the advice for a URL with a part that may belong to the password.
const escaping = "in a user or password write %23 for #, %2F for /, %3F for ?, %40 for @ and %25 for %, " +
	"or leave both out and set redis_username and redis_password"

// scheme is what the scheme of a URL says about the rest of it.
type scheme struct {
	kind kind
	tls  bool
}

// schemes are those that Parse reads.
var schemes = map[string]scheme{
	"redis":           {kind: single},
	"rediss":          {kind: single, tls: true},
	"unix":            {kind: socket},
	"redis+sentinel":  {kind: sentinel},
	"rediss+sentinel": {kind: sentinel, tls: true},
	"redis+cluster":   {kind: cluster},
	"rediss+cluster":  {kind: cluster, tls: true},
}

// examples are URLs of each kind.
var examples = [...]string{
	single:   "redis://user:password@host:6379/0",
	socket:   "unix:///run/redis.sock",
	sentinel: "redis+sentinel://user:password@host1:26379,host2:26379,host3:26379/mymaster/0",
	cluster:  "redis+cluster://user:password@host1:6379,host2:6379",
}

// Parse reads the URL of one server:
//
//	redis://user:password@host:6379/0
//	unix://user:password@/path/of/socket?db=0
//
// of the Sentinels that watch a primary with its replicas, with the name that they have
// for it:
//
//	redis+sentinel://user:password@host1:26379,host2:26379/name/0
//
// or of some nodes of a Redis Cluster, which name the others:
//
//	redis+cluster://user:password@host1:6379,host2:6379
//
// With rediss in place of redis, all connections use TLS. Options are in the query.
//
// Every part of the URL must have a use. If one character of a password is not escaped,
// the rest of the password becomes another part, and the first half may be sent to another
// host. (go-redis's own ParseURL ignores a fragment, a second database, and options that
// are repeated or invalid.)
//
// Errors repeat nothing of the URL but names of options, since any part may belong to the
// password.
func Parse(rawURL string) (*Target, error) {
	name, rest, found := strings.Cut(rawURL, "://")
	name = strings.ToLower(name)
	sc, ok := schemes[name]
	if !found || !ok {
		return nil, unknownScheme(name)
	}
	if err := checkCuts(rest); err != nil {
		return nil, err
	}
	first, others := cutHosts(rest)
	if len(others) > 0 && sc.kind != sentinel && sc.kind != cluster {
		return nil, errors.New("there are several hosts; name one of them, or write redis+sentinel:// or redis+cluster:// for servers that belong together")
	}
	u, err := url.Parse(name + "://" + first)
	if err != nil {
		return nil, errors.New("not a valid URL; write " + examples[sc.kind] + "; " + escaping)
	}
	t := &Target{kind: sc.kind, options: &redis.Options{Network: "tcp"}}
	if err := t.setUser(u.User); err != nil {
		return nil, err
	}
	if sc.kind == socket {
		err = t.setSocket(u)
	} else {
		err = t.setServers(u, others)
	}
	if err != nil {
		return nil, err
	}
	if sc.tls {
		t.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if err := t.setQuery(u.RawQuery, sc.kind != socket && u.Path != "" && t.hasDB); err != nil {
		return nil, err
	}
	return t, nil
}

// unknownScheme returns the error for a scheme that Parse does not read. Other programs
// have other names for those that it reads.
func unknownScheme(name string) error {
	for part, k := range map[string]kind{"sentinel": sentinel, "cluster": cluster} {
		if strings.Contains(name, part) {
			return errors.New("unknown scheme; write " + examples[k] + ", with rediss in place of redis for TLS")
		}
	}
	return errors.New("unknown scheme; write a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
}

// checkCuts looks for characters that may end a part of the URL by mistake. rest is the
// URL behind its scheme.
func checkCuts(rest string) error {
	if strings.Contains(rest, "#") {
		return errors.New("a # would cut the URL off; " + escaping)
	}
	authority, tail := cutAuthority(rest)
	if strings.Count(authority, "@") > 1 || strings.Contains(tail, "@") {
		return errors.New("an @ may stand once, before the host; " + escaping)
	}
	return nil
}

// cutAuthority cuts a URL without its scheme behind its hosts.
func cutAuthority(rest string) (authority, tail string) {
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

// cutHosts takes all hosts but the first out of a URL without its scheme. url.Parse reads
// only one.
func cutHosts(rest string) (first string, others []string) {
	authority, tail := cutAuthority(rest)
	at := strings.LastIndexByte(authority, '@') + 1
	hosts := strings.Split(authority[at:], ",")
	return authority[:at] + hosts[0] + tail, hosts[1:]
}

func (t *Target) setUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	o := t.options
	o.Username = user.Username()
	o.Password, _ = user.Password()
	if o.Password == "" {
		return errors.New("there is an @ and no password before it; write user:password@host, or :password@host for the default user")
	}
	return nil
}

func (t *Target) setSocket(u *url.URL) error {
	if u.Host != "" {
		return errors.New("a socket has no host and no port; write three slashes before its path, as in unix:///run/redis.sock")
	}
	if strings.HasSuffix(u.Path, "/") || strings.TrimSpace(u.Path) == "" {
		return errors.New("the path of the socket is missing; write it as in unix:///run/redis.sock")
	}
	t.options.Network, t.options.Addr = "unix", u.Path
	return nil
}

// setServers reads the hosts and the path. others are the hosts that are not in u.
func (t *Target) setServers(u *url.URL, others []string) error {
	port := "6379"
	if t.kind == sentinel {
		port = "26379"
	}
	addr, err := hostPort(u, port)
	if err != nil {
		return err
	}
	t.hosts = []string{addr}
	for _, other := range others {
		o, err := url.Parse("redis://" + other)
		if err != nil || o.Path != "" || o.User != nil {
			return errors.New("between commas there must be hosts, each with or without a port; " + escaping)
		}
		if addr, err = hostPort(o, port); err != nil {
			return err
		}
		if slices.Contains(t.hosts, addr) {
			return errors.New("a host is there twice; give each once")
		}
		t.hosts = append(t.hosts, addr)
	}
	t.options.Addr = t.hosts[0]
	return t.setPath(strings.TrimPrefix(u.EscapedPath(), "/"))
}

// setPath reads the database, and before it the name that Sentinels have for the primary.
func (t *Target) setPath(path string) error {
	db := path
	if t.kind == sentinel {
		var name string
		name, db, _ = strings.Cut(path, "/")
		if !isHost(name) {
			return errors.New("the name of the primary is missing behind the hosts, as in /mymaster; it is the one in `sentinel monitor`, " +
				"of letters, digits, dots, hyphens and underscores; " + escaping)
		}
		t.primary = name
	}
	if db == "" {
		return nil
	}
	t.hasDB = true
	return t.setDB(db)
}

// hostPort returns the host of u with its port.
func hostPort(u *url.URL, defaultPort string) (string, error) {
	host, port := u.Hostname(), u.Port()
	switch {
	case host == "":
		return "", errors.New("the host is missing; write redis://localhost:6379/0 for a server on this machine")
	case !isHost(host) || strings.Contains(host, ":") != strings.HasPrefix(u.Host, "["):
		return "", errors.New("the host must be a name of letters, digits, dots and hyphens, or an address, of IPv6 in brackets; " + escaping)
	case strings.HasSuffix(u.Host, ":"):
		return "", errors.New("the port is missing behind the colon; write one, or leave the colon out for " + defaultPort)
	case port == "":
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("the port must be a number from 1 to 65535; " + escaping)
	}
	return net.JoinHostPort(host, port), nil
}

func isHost(host string) bool {
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return host != "" && !strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c)
	})
}

func (t *Target) setDB(number string) error {
	// The server checks whether it has the database.
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return errors.New("the database must be a number that is not negative, as in redis://host:6379/0; " + escaping)
	}
	if n > 0 && t.kind == cluster {
		return errors.New("a cluster has only database 0; leave the number out")
	}
	t.options.DB = int(n)
	return nil
}
