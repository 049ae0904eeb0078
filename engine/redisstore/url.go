package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// escaping is the advice for a URL with a part that may belong to the password.
const escaping = "in a user or password write %23 for #, %2F for /, %3F for ?, %40 for @ and %25 for %, " +
	"or leave both out and set redis_username and redis_password"

// Parse reads redis://user:password@host:6379/0, rediss://… for TLS, or
// unix://user:password@/path/of/socket?db=0, with options in the query.
//
// Every part of the URL must have a use. If one character of a password is not escaped,
// the rest of the password becomes another part, and the first half may be sent to another
// host. (go-redis's own ParseURL ignores a fragment, a second database, and options that
// are repeated or invalid.)
//
// Errors repeat nothing of the URL but names of options, since any part may belong to the
// password.
func Parse(rawURL string) (*Target, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	scheme = strings.ToLower(scheme)
	if scheme != "redis" && scheme != "rediss" && scheme != "unix" || !strings.Contains(rawURL, "://") {
		return nil, errors.New("unknown scheme; write a URL that begins with redis://, rediss:// or unix://")
	}
	if err := checkCuts(rest); err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a valid URL; write redis://user:password@host:6379/0; " + escaping)
	}
	t := &Target{options: &redis.Options{Network: "tcp"}}
	if err := t.setUser(u.User); err != nil {
		return nil, err
	}
	if scheme == "unix" {
		err = t.setSocket(u)
	} else {
		err = t.setServer(u)
	}
	if err != nil {
		return nil, err
	}
	if scheme == "rediss" {
		host, _, _ := net.SplitHostPort(t.options.Addr)
		t.options.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	if err := t.setQuery(u.RawQuery, scheme != "unix" && len(u.Path) > 1); err != nil {
		return nil, err
	}
	return t, nil
}

// checkCuts looks for characters that may end a part of the URL by mistake. rest is the
// URL behind its scheme.
func checkCuts(rest string) error {
	if strings.Contains(rest, "#") {
		return errors.New("a # would cut the URL off; " + escaping)
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Count(authority, "@") > 1 || strings.Contains(tail, "@") {
		return errors.New("an @ may stand once, before the host; " + escaping)
	}
	if strings.Contains(authority[strings.IndexByte(authority, '@')+1:], ",") {
		return errors.New("there are several hosts; name one of them")
	}
	return nil
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

func (t *Target) setServer(u *url.URL) error {
	host, port := u.Hostname(), u.Port()
	switch {
	case host == "":
		return errors.New("the host is missing; write redis://localhost:6379/0 for a server on this machine")
	case !isHost(host) || strings.Contains(host, ":") != strings.HasPrefix(u.Host, "["):
		return errors.New("the host must be a name of letters, digits, dots and hyphens, or an address, of IPv6 in brackets; " + escaping)
	case strings.HasSuffix(u.Host, ":"):
		return errors.New("the port is missing behind the colon; write one, or leave the colon out for 6379")
	case port == "":
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("the port must be a number from 1 to 65535; " + escaping)
	}
	t.options.Addr = net.JoinHostPort(host, port)
	if db := strings.TrimPrefix(u.EscapedPath(), "/"); db != "" {
		return t.setDB(db)
	}
	return nil
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
	t.options.DB = int(n)
	return nil
}

// refusedOptions are options of go-redis that must not be in the URL, with what to do
// instead.
var refusedOptions = map[string]string{
	"dial_timeout":      "set redis_timeout instead",
	"read_timeout":      "set redis_timeout instead",
	"write_timeout":     "set redis_timeout instead",
	"pool_timeout":      "set redis_timeout instead",
	"max_retries":       "leave it out: failed calls are repeated within redis_timeout, and never applied twice",
	"min_retry_backoff": "leave it out: failed calls are repeated within redis_timeout, and never applied twice",
	"max_retry_backoff": "leave it out: failed calls are repeated within redis_timeout, and never applied twice",
	"pool_size":         "leave it out: as many connections are used as calls need, which are a few",
}

// urlOptions are the options of go-redis's URLs that have an effect here. Each function
// sets its option, or returns which values it takes.
var urlOptions = map[string]func(o *redis.Options, value string) (expected string){
	"protocol": func(o *redis.Options, value string) string {
		if value != "2" && value != "3" {
			return "2 or 3"
		}
		o.Protocol, _ = strconv.Atoi(value)
		return ""
	},
	"client_name": func(o *redis.Options, value string) string {
		if !isHost(value) {
			return "letters, digits, dots, hyphens and underscores"
		}
		o.ClientName = value
		return ""
	},
	"skip_verify":          func(o *redis.Options, value string) string { return setFlag(&o.TLSConfig.InsecureSkipVerify, value) },
	"pool_fifo":            func(o *redis.Options, value string) string { return setFlag(&o.PoolFIFO, value) },
	"min_idle_conns":       func(o *redis.Options, value string) string { return setCount(&o.MinIdleConns, value) },
	"max_idle_conns":       func(o *redis.Options, value string) string { return setCount(&o.MaxIdleConns, value) },
	"max_active_conns":     func(o *redis.Options, value string) string { return setCount(&o.MaxActiveConns, value) },
	"max_concurrent_dials": func(o *redis.Options, value string) string { return setCount(&o.MaxConcurrentDials, value) },
	"conn_max_idle_time":   func(o *redis.Options, value string) string { return setDuration(&o.ConnMaxIdleTime, value) },
	"conn_max_lifetime":    func(o *redis.Options, value string) string { return setDuration(&o.ConnMaxLifetime, value) },
}

func setFlag(flag *bool, value string) string {
	if value != "true" && value != "false" && value != "1" && value != "0" {
		return "true or false"
	}
	*flag = value == "true" || value == "1"
	return ""
}

func setCount(count *int, value string) string {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return "a number from 0 to 65535"
	}
	*count = int(n)
	return ""
}

// setDuration reads a number as seconds, and 0 as no limit, as go-redis does.
func setDuration(d *time.Duration, value string) string {
	if _, err := strconv.ParseUint(value, 10, 31); err == nil {
		value += "s"
	}
	parsed, err := time.ParseDuration(value)
	if err != nil || parsed < 0 {
		return "a duration such as 5m, or 0 for no limit"
	}
	if parsed == 0 {
		parsed = -1
	}
	*d = parsed
	return ""
}

func (t *Target) setQuery(rawQuery string, hasDB bool) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return errors.New("the options behind the ? are not valid; " + escaping)
	}
	// In a fixed order: the same URL always has the same error.
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if instead, ok := refusedOptions[name]; ok {
			return fmt.Errorf("the option %s is not allowed in the URL; %s", name, instead)
		}
		set, isKnown := urlOptions[name]
		switch values := query[name]; {
		case !isKnown && name != "db":
			return errors.New("there is an unknown option behind the ?; known are " + knownOptions() + "; " + escaping)
		case len(values) > 1:
			return fmt.Errorf("the option %s is there twice; give it once", name)
		case name == "skip_verify" && t.options.TLSConfig == nil:
			return errors.New("the option skip_verify is about TLS; write rediss://, or leave the option out")
		case name == "db" && hasDB:
			return errors.New("the database is given twice, in the path and as the option db; give it once")
		case name == "db":
			if err := t.setDB(values[0]); err != nil {
				return err
			}
		default:
			if expected := set(t.options, values[0]); expected != "" {
				return fmt.Errorf("the option %s has another value than it takes; it takes %s", name, expected)
			}
		}
	}
	query.Del("db")
	t.query = query
	return nil
}

func knownOptions() string {
	return "db, " + strings.Join(slices.Sorted(maps.Keys(urlOptions)), ", ")
}
