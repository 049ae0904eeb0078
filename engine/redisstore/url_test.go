package redisstore

import (
	"strings"
	"testing"
	"time"
)

func TestURLsWithAnIgnoredPartAreErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "unknown scheme"},
		{"secret", "unknown scheme"},
		{"secret://host", "unknown scheme"},
		{"redis:secret:6379", "unknown scheme"}, // go-redis connects to localhost
		{"redis:/0", "unknown scheme"},
		{"redis", "unknown scheme"},
		{"\x00secret", "unknown scheme"},
		{"redis://\x00secret", "not a valid URL"},
		{"redis://user:sec ret@host", "not a valid URL"},
		{"redis://user:sec%ret@host", "not a valid URL"},

		// These go to the host before the #, with credentials meant for another one.
		{"redis://app:tok@127.0.0.1:6380#secret@redis.internal:6379/0", "write %23 for #"},
		{"redis://:p@ss#secret/é@host", "write %23 for #"},
		{"redis://user:secret#x@host:6379/0", "write %23 for #"},
		{"redis://host/0#secret", "write %23 for #"},
		{"redis://host/0#", "write %23 for #"},
		{"unix:///run/secret#1", "write %23 for #"},

		{"redis://:p@ss/secret@host/0", "an @ may stand once"},
		{"redis://user:secret@word@host/0", "an @ may stand once"},
		{"redis://user:1234/secret@host:6379/0", "an @ may stand once"},
		{"redis://user:1?client_name=secret@host:6379/0", "an @ may stand once"},
		{"redis://user:1?secret=@host:6379/0", "an @ may stand once"},
		{"redis://:pa/sec%ret@host/0", "an @ may stand once"},
		{"unix://:pa/secret@/run/redis.sock", "an @ may stand once"},
		{"redis://secret@host", "no password before it"}, // go-redis sends no AUTH
		{"redis://secret:@host", "no password before it"},
		{"redis://@secret", "no password before it"},

		{"redis://secret1,secret2", "several hosts"},
		{"redis://user:pw@secret1:1,secret2:2/0", "several hosts"},
		{"redis-sentinel://host/secret", "write redis+sentinel://user:password@host1:26379"},
		{"sentinel://host?secret", "write redis+sentinel://"},
		{"rediscluster://secret", "write redis+cluster://"},
		{"redis+sentinel://host", "the name of the primary is missing"},
		{"redis+sentinel://host/", "the name of the primary is missing"},
		{"redis+sentinel://host//0", "the name of the primary is missing"},
		{"redis+sentinel://host/sec ret", "the name of the primary is missing"},
		{"redis+sentinel://host/mymaster/secret", "the database must be"},
		{"redis+sentinel://host/mymaster/0?db=0", "the database is given twice"},
		{"redis+sentinel://a,b,secret'/mymaster", "the host must be"},
		{"redis+sentinel://a:1,b:1,a:1/mymaster", "a host is there twice"},
		{"redis+sentinel://a:1,:2/mymaster", "the host is missing"},
		{"redis+sentinel://a:1,/mymaster", "the host is missing"},
		{"redis+sentinel://a:1,b:x/mymaster", "between commas there must be hosts"},
		{"redis+sentinel://user:sec,ret@a:1,b:0/mymaster", "the port must be"},
		{"redis+sentinel://a/mymaster?sentinel_password=", "it takes a text"},
		{"redis+cluster://a/secret", "the database must be"},
		{"redis+cluster://a/1", "a cluster has only database 0"},
		{"redis+cluster://a?db=3", "a cluster has only database 0"},
		{"redis+cluster://a?sentinel_password=secret", "write redis+sentinel://"},
		{"redis://a?sentinel_username=secret", "write redis+sentinel://"},
		{"redis:///0", "the host is missing"},
		{"redis://", "the host is missing"},
		{"redis://:6379/0", "the host is missing"},
		{"redis://user:secret@:6379", "the host is missing"},
		{"redis://secrét", "the host must be"},
		{"redis://sec'ret/0", "the host must be"},
		{"redis://::1:6379", "the host must be"},
		{"redis://[secret]:6379", "not a valid URL"},
		{"redis://secret:/0", "the port is missing"},
		{"redis://user:secret@host:port/0", "not a valid URL"},
		{"redis://user:secret/1", "not a valid URL"},
		{"redis://host:0/0", "the port must be"},
		{"redis://host:65536/0", "the port must be"},
		{"rediss://host:99999/0", "the port must be"},

		{"redis://user:pw@host:6379/secret", "the database must be"},
		{"redis://host/-1", "the database must be"},
		{"redis://host/+1", "the database must be"},
		{"redis://host/1/secret", "the database must be"},
		{"redis://host//1", "the database must be"},
		{"redis://host/1/", "the database must be"},
		{"redis://host?db=secret", "the database must be"},
		{"redis://host?db=", "the database must be"},
		{"unix:///run/redis?db=-3", "the database must be"},
		{"redis://host/1?db=1", "the database is given twice"},

		{"unix://run/secret.sock", "three slashes"},
		{"unix://:6379/run/secret.sock", "three slashes"},
		{"unix://user:pw@host/run/secret.sock", "three slashes"},
		{"unix://", "the path of the socket is missing"},
		{"unix:///", "the path of the socket is missing"},
		{"unix:///run/secret/", "the path of the socket is missing"},

		{"redis://host/0?secret=1", "an unknown option"},
		{"redis://host/0?secret", "an unknown option"},
		{"redis://host/0?db=0;secret", "are not valid"}, // go-redis drops the whole query
		{"redis://host/0?protocol=2&x=%secret", "are not valid"},
		{"redis://host/0?protocol=2&protocol=secret", "the option protocol is there twice"},
		{"redis://host/0?protocol=secret", "the option protocol has another value than it takes; it takes 2 or 3"},
		{"redis://host/0?protocol=", "it takes 2 or 3"},
		{"redis://host/0?client_name=", "it takes letters"},
		{"redis://host/0?client_name=sec%20ret", "it takes letters"},
		{"redis://host/0?pool_fifo=secret", "it takes true or false"},
		{"redis://host/0?min_idle_conns=99999999999", "it takes a number"}, // go-redis panics
		{"redis://host/0?conn_max_idle_time=secret", "it takes a duration"},
		{"redis://host/0?conn_max_lifetime=-1s", "it takes a duration"},
		{"redis://host/0?skip_verify=true", "write rediss://"},
		{"unix:///run/redis.sock?skip_verify=true", "write rediss://"},
		{"redis://host/0?max_retries=3", "the option max_retries is not allowed in the URL; leave it out"},
		{"redis://host/0?min_retry_backoff=1s", "the option min_retry_backoff is not allowed"},
		{"redis://host/0?dial_timeout=1s", "the option dial_timeout is not allowed in the URL; set redis_timeout"},
		{"redis://host/0?read_timeout=1s", "the option read_timeout is not allowed"},
		{"redis://host/0?write_timeout=1s", "the option write_timeout is not allowed"},
		{"redis://host/0?pool_timeout=1s", "the option pool_timeout is not allowed"},
		{"redis://host/0?pool_size=3", "the option pool_size is not allowed"},
	} {
		target, err := Parse(c.url)
		if err == nil {
			t.Errorf("%q is %s", c.url, target.Identity())
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %s", c.url, err, c.want)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q is repeated in: %v", c.url, err)
		}
	}
}

func TestURLsSayWhereToConnectAndAsWhom(t *testing.T) {
	for _, c := range []struct{ url, identity, username, password string }{
		{"redis://localhost", "tcp:localhost:6379/0", "", ""},
		{"redis://localhost/", "tcp:localhost:6379/0", "", ""},
		{"redis://host:65535/99", "tcp:host:65535/99", "", ""}, // the server may have so many
		{"redis://[::1]:6379/0", "tcp:[::1]:6379/0", "", ""},
		{"rediss://[fe80::1%25eth0]", "tcp:[fe80::1%eth0]:6379/0", "", ""},
		{"redis://my_redis-1.shop.:7000?db=3", "tcp:my_redis-1.shop.:7000/3", "", ""},
		{"redis://user:pw@localhost:7000/3", "tcp:localhost:7000/3", "user", "pw"},
		{"redis://:p:w@localhost", "tcp:localhost:6379/0", "", "p:w"},
		{"redis://us%40er:%23%2F%3F%40%25%7B,;&=+$!*'()~@localhost/1", "tcp:localhost:6379/1", "us@er", "#/?@%{,;&=+$!*'()~"},
		{"redis+sentinel://b:1,a/my-master", "sentinel:my-master:a:26379,b:1/0", "", ""},
		{"rediss+sentinel://user:p,w@[::1]/m/3?sentinel_username=a&sentinel_password=b", "sentinel:m:[::1]:26379/3", "user", "p,w"},
		{"redis+cluster://:pw@n2:7000,n1", "cluster:n1:6379,n2:7000/0", "", "pw"},
		{"redis+cluster://n1/0", "cluster:n1:6379/0", "", ""},
		{"unix:///run/redis.sock?db=2", "unix:/run/redis.sock/2", "", ""},
		{"unix:///run/redis:99999", "unix:/run/redis:99999/0", "", ""},
		{"unix://user:pw@/run/a%40b.sock", "unix:/run/a@b.sock/0", "user", "pw"},
	} {
		target, err := Parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		o := target.clientOptions(t.Context(), "host:6379")
		if target.Identity() != c.identity || o.Username != c.username || o.Password != c.password {
			t.Errorf("%s: %s as %q with %q", c.url, target.Identity(), o.Username, o.Password)
		}
	}
}

func TestOptionsInURLsHaveTheirEffect(t *testing.T) {
	target, err := Parse("rediss://localhost/0?protocol=2&client_name=a&skip_verify=1&pool_fifo=true&min_idle_conns=1&max_idle_conns=2&" +
		"max_active_conns=3&max_concurrent_dials=4&conn_max_idle_time=30&conn_max_lifetime=1h")
	if err != nil {
		t.Fatal(err)
	}
	o := target.clientOptions(t.Context(), "localhost:6379")
	if o.Protocol != 2 || o.ClientName != "a" || !o.TLSConfig.InsecureSkipVerify || o.TLSConfig.ServerName != "localhost" || !o.PoolFIFO ||
		o.MinIdleConns != 1 || o.MaxIdleConns != 2 || o.MaxActiveConns != 3 || o.MaxConcurrentDials != 4 ||
		o.ConnMaxIdleTime != 30*time.Second || o.ConnMaxLifetime != time.Hour {
		t.Errorf("%+v", o)
	}
	if own := 2; len(target.query) != len(urlOptions)-own { // those of Sentinels
		t.Errorf("of %d options %d are tried", len(urlOptions), len(target.query))
	}
	// 0 is no limit, which go-redis writes as -1.
	if target, err = Parse("redis://localhost?conn_max_idle_time=0"); err != nil || target.options.ConnMaxIdleTime != -1 {
		t.Errorf("%+v, %v", target, err)
	}
}
