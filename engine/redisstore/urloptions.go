package redisstore

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
var urlOptions = map[string]func(t *Target, value string) (expected string){
	"protocol": func(t *Target, value string) string {
		if value != "2" && value != "3" {
			return "2 or 3"
		}
		t.options.Protocol, _ = strconv.Atoi(value)
		return ""
	},
	"client_name": func(t *Target, value string) string {
		if !isHost(value) {
			return "letters, digits, dots, hyphens and underscores"
		}
		t.options.ClientName = value
		return ""
	},
	"sentinel_username":    func(t *Target, value string) string { return setText(&t.sentinelUser, value) },
	"sentinel_password":    func(t *Target, value string) string { return setText(&t.sentinelPassword, value) },
	"skip_verify":          func(t *Target, value string) string { return setFlag(&t.options.TLSConfig.InsecureSkipVerify, value) },
	"pool_fifo":            func(t *Target, value string) string { return setFlag(&t.options.PoolFIFO, value) },
	"min_idle_conns":       func(t *Target, value string) string { return setCount(&t.options.MinIdleConns, value) },
	"max_idle_conns":       func(t *Target, value string) string { return setCount(&t.options.MaxIdleConns, value) },
	"max_active_conns":     func(t *Target, value string) string { return setCount(&t.options.MaxActiveConns, value) },
	"max_concurrent_dials": func(t *Target, value string) string { return setCount(&t.options.MaxConcurrentDials, value) },
	"conn_max_idle_time":   func(t *Target, value string) string { return setDuration(&t.options.ConnMaxIdleTime, value) },
	"conn_max_lifetime":    func(t *Target, value string) string { return setDuration(&t.options.ConnMaxLifetime, value) },
}

func setText(text *string, value string) string {
	if value == "" {
		return "a text that is not empty"
	}
	*text = value
	return ""
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
		case strings.HasPrefix(name, "sentinel_") && t.kind != sentinel:
			return fmt.Errorf("the option %s is about Sentinels; write redis+sentinel://, or leave the option out", name)
		case name == "skip_verify" && t.options.TLSConfig == nil:
			return errors.New("the option skip_verify is about TLS; write rediss://, or leave the option out")
		case name == "db" && hasDB:
			return errors.New("the database is given twice, in the path and as the option db; give it once")
		case name == "db":
			if err := t.setDB(values[0]); err != nil {
				return err
			}
		default:
			if expected := set(t, values[0]); expected != "" {
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
