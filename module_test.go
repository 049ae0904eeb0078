package redisproxy

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func TestProvisionErrors(t *testing.T) {
	t.Setenv("EMPTY", "")
	t.Setenv("BAD_METHOD", "PATCH")
	t.Setenv("ONE_REDIS", "redis://h")
	t.Setenv("KEY", "-----BEGIN PRIVATE KEY-----\nsecret")
	for _, c := range []struct{ json, want string }{
		{`{"store": "{env.NOT_SET_ANYWHERE}"}`, "store: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		{`{"namespace": "{env.EMPTY}"}`, "namespace: evaluated placeholder {env.EMPTY} is empty"},
		{`{"path_prefix": "/{unknown}"}`, "path_prefix: unrecognized placeholder {unknown}"},
		{`{"eviction": "{unknown}"}`, "eviction: unrecognized placeholder {unknown}"},
		{`{"client_no_cache": "{unknown}"}`, "client_no_cache: unrecognized placeholder {unknown}"},
		{`{"cache_control": "{unknown}"}`, "cache_control: unrecognized placeholder {unknown}"},
		{`{"trusted_origins": ["https://{unknown}"]}`, "trusted_origins: unrecognized placeholder {unknown}"},
		{`{"methods": ["GET", "{env.BAD_METHOD}"]}`, `methods: there is no method "PATCH"; write some of GET`},
		{`{"store": "http://localhost"}`, `store: unknown scheme; write`},
		{`{"store": "redis://:{env.BAD_METHOD}@h#1"}`, "store: a # would cut the URL off; "},
		{`{"store": "redis://h", "redis_password": "{env.NOT_SET_ANYWHERE}"}`, "redis_password: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty; set it"},
		{`{"store": "redis://h", "redis_password": "{file./no/such-file}"}`, "redis_password: evaluated placeholder {file./no/such-file} is empty; set it"},
		{`{"store": "redis://h", "redis_password": "a{word}b"}`, "redis_password: there are braces around something that is no placeholder such as {env.NAME}"},
		{`{"store": "redis://:a{word}b@h"}`, "store: there are braces around something that is no placeholder such as {env.NAME}"},
		{`{"store": "redis://h", "redis_username": "u"}`, "redis_username: a user without a password is not sent to Redis; set redis_password too"},
		{`{"store": "redis://:a@h", "redis_password": "b"}`, "redis_password: the URL of store has credentials too; take them out of the URL, or leave redis_password out"},
		{`{"store": "redis://u:a@h", "redis_username": "u"}`, "redis_username: the URL of store has credentials too"},
		{`{"store": "embedded", "redis_password": "b"}`, "redis_password: the embedded store takes no credentials; set store to the URL"},
		{`{"redis_username": "u"}`, "redis_username: the embedded store takes no credentials"},
		{`{"redis_ca": ["/ca.pem"]}`, "redis_ca: the embedded store has no TLS; set store to the URL of a Redis server with rediss://, or leave redis_ca out"},
		{`{"store": "redis://h", "redis_ca": ["/ca.pem"]}`, "redis_ca: store does not use TLS; write rediss in place of redis in its URL, or leave redis_ca out"},
		{`{"store": "redis+cluster://h", "redis_cert": ["/c.pem", "/k.pem"]}`, "redis_cert: store does not use TLS; write rediss"},
		{`{"store": "redis+sentinel://h/m", "redis_server_name": "redis"}`, "redis_server_name: store does not use TLS; write rediss"},
		{`{"store": "unix:///run/redis.sock", "redis_ca": ["/ca.pem"]}`, "redis_ca: a Unix socket has no TLS; write rediss://host in store, or leave redis_ca out"},
		{`{"store": "rediss://h?skip_verify=true", "redis_ca": ["/ca.pem"]}`, "redis_ca: the option skip_verify in the URL of store switches off the check that this is for; leave"},
		{`{"store": "rediss://h?skip_verify=true", "redis_server_name": "h"}`, "redis_server_name: the option skip_verify"},
		{`{"store": "rediss://h", "redis_ca": ["{env.NOT_SET_ANYWHERE}"]}`, "redis_ca: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		{`{"store": "rediss://h", "redis_ca": [""]}`, "redis_ca: the name of a file is empty; write a path"},
		{`{"store": "rediss://h", "redis_ca": ["/no/such-file"]}`, "redis_ca: open /no/such-file: no such file or directory; write the path of a file that this process may read"},
		{`{"store": "rediss://h", "redis_ca": ["module_test.go"]}`, "redis_ca: module_test.go has no certificate in PEM form; write a file with -----BEGIN CERTIFICATE-----"},
		{`{"store": "rediss://h", "redis_cert": ["/no/such-file", "/k.pem"]}`, "redis_cert: open /no/such-file: no such file or directory; write the path"},
		{`{"store": "rediss://h", "redis_cert": ["/c.pem", "{env.KEY}"]}`, "redis_cert: it has the content of a file; write its path, without {file.…} around it"},
		{`{"store": "rediss://h", "redis_cert": ["/c.pem"]}`, "redis_cert: it takes two files; write that of the certificate, and then that of its key"},
		{`{"store": "rediss://h", "redis_server_name": "h:6379"}`, "redis_server_name: it is no name of a server; write a name of letters"},
		{`{"path_prefix": "cache"}`, `path_prefix: "cache" does not begin with a slash; write`},
		{`{"namespace": "a b"}`, `namespace: "a b" is no namespace; write 1 to 64 of`},
		{`{"eviction": "unheard-of"}`, `eviction: there is no policy "unheard-of"; write one of rank, lru`},
		{`{"client_no_cache": "no"}`, `client_no_cache: it does not take "no"; write honor or ignore`},
		{`{"cache_control": "a\nb"}`, "cache_control: "},
		{`{"trusted_origins": ["example.com"]}`, `trusted_origins: invalid origin "example.com"`},
		{`{"max_keys": 0}`, "max_keys: must be greater than 0"},
		{`{"max_bytes": -1}`, "max_bytes: must not be negative"},
		{`{"local_ttl": -1}`, "local_ttl: must not be negative"},
		{`{"local_max_bytes": 0}`, "local_max_bytes: must be greater than 0"},
		{`{"max_queue_jobs": 0}`, "max_queue_jobs: must be greater than 0"},
		{`{"max_queue_bytes": 0}`, "max_queue_bytes: must be greater than 0"},
		{`{"max_key_size": 0}`, "max_key_size: must be greater than 0"},
		{`{"max_value_size": 0}`, "max_value_size: must be greater than 0"},
		{`{"redis_timeout": 0}`, "redis_timeout: must be greater than 0"},
		{`{"durability": "always"}`, `durability: it does not take "always"; write none, replicas and a number such as 1, or fsync`},
		{`{"durability": "fsync"}`, "durability: the embedded store has no replicas and no disk; set store to the URL of a Redis server"},
		{`{"store": "redis+cluster://h", "partitions": 0}`, "partitions: must be greater than 0"},
		{`{"store": "redis+cluster://h", "partitions": 257}`, "partitions: must be at most 256; write less"},
		{`{"store": "redis://h", "partitions": 2}`, "partitions: 2 need a Redis Cluster, "},
		{`{"store": "{env.ONE_REDIS}", "partitions": 2}`, "partitions: 2 need a Redis Cluster, "},
		{`{"store": "redis+cluster://h", "partitions": 2, "max_keys": 1}`, "max_keys: 1 is less than one key for each of the 2 partitions"},
		{`{"store": "redis+cluster://h", "partitions": 2, "max_bytes": 2098175}`, "max_bytes: 2098175 for 2 partitions is 1049087 bytes for each, which has no room for the largest entry; write at least 2098176"},
		{`{"drain_timeout": 0}`, "drain_timeout: must be greater than 0"},
		{`{"stale_if_error": -1}`, "stale_if_error: must not be negative"},
		{`{"max_value_size": 9223372036854775807}`, "max_value_size: must be at most 512MiB (536870912)"},
		{`{"max_key_size": 65537}`, "max_key_size: must be at most 64KiB (65536)"},
		{`{"unsubscribed_ttl": -1}`, "unsubscribed_ttl: must not be negative"},
		{`{"max_value_size": 99, "max_queue_bytes": 610}`, "max_queue_bytes: 610 has no room for the largest entry; write at least 611, the sum of max_key_size (512) and max_value_size (99)"},
		{`{"key_prefix": "abc", "max_key_size": 3}`, "key_prefix: it has 3 bytes and leaves no room for a key"},
		{`{"key_prefix": "{http.request.host}/", "max_key_size": 2}`, "key_prefix: it has 2 bytes and leaves no room for a key"},
		{`{"trusted_origins": ["https://*.example.com"]}`, `trusted_origins: "https://*.example.com" has a wildcard: `},
		{`{"local_ttl": 30}`, `local_ttl: 30ns is shorter than a millisecond; write it with a unit, such as "30s": a bare number in JSON means nanoseconds`},
		{`{"redis_timeout": 1}`, "redis_timeout: 1ns is shorter than a millisecond"},
		{`{"drain_timeout": 5}`, "drain_timeout: 5ns is shorter than a millisecond"},
		{`{"stale_if_error": 999999}`, "stale_if_error: 999.999µs is shorter than a millisecond"},
		{`{"unsubscribed_ttl": 1}`, "unsubscribed_ttl: 1ns is shorter than a millisecond"},
	} {
		var h Handler
		if err := json.Unmarshal([]byte(c.json), &h); err != nil {
			t.Fatal(err)
		}
		err := h.Provision(newContext(t))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.json, err, c.want)
		}
		// Caddy also cleans up a module whose Provision failed.
		if err := h.Cleanup(); err != nil {
			t.Errorf("%s: %v", c.json, err)
		}
	}
	if left := running.Caches(); len(left) != 0 {
		t.Errorf("%d engines are left", len(left))
	}
}

func TestPlaceholders(t *testing.T) {
	t.Setenv("PREFIX", "/kv")
	t.Setenv("METHOD", "PUT")
	h := parse(t, "namespace placeholders\npath_prefix {env.PREFIX}\nmethods GET {env.METHOD}")
	provision(t, h)
	if h.PathPrefix != "/kv" || !slices.Equal(h.Methods, []string{"GET", "PUT"}) {
		t.Errorf("%+v", h)
	}
}

func TestDefaults(t *testing.T) {
	h := &Handler{Namespace: "TestDefaults"}
	provision(t, h)
	want := `{"store":"embedded","path_prefix":"/cache","namespace":"TestDefaults","methods":["GET","HEAD","POST"],` +
		`"partitions":1,"max_keys":10000,"max_bytes":268435456,"eviction":"rank","local_ttl":30000000000,"local_max_bytes":67108864,` +
		`"max_queue_jobs":4096,"max_queue_bytes":67108864,"max_key_size":512,"max_value_size":1048576,"max_answer_bytes":8388608,` +
		`"body_timeout":30000000000,"redis_timeout":1000000000,"drain_timeout":5000000000,"stale_if_error":0,"unsubscribed_ttl":1000000000,"default_ttl":0,"max_ttl":0,"cache_control":"no-cache","client_no_cache":"honor","respond_with":"minimal","watch":0}`
	if got, err := json.Marshal(h); err != nil || string(got) != want {
		t.Errorf("got %s, want %s (%v)", got, want, err)
	}
	redis := Handler{Store: "redis://localhost"}
	redis.setDefaults()
	if *redis.MaxBytes != 0 {
		t.Errorf("max_bytes over Redis is %d", *redis.MaxBytes)
	}
}

// TestCaddyLifecycle provisions through Caddy's own loader, which decodes
// strictly and cleans up.
func TestCaddyLifecycle(t *testing.T) {
	load := func(config string) error {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		_, err := ctx.LoadModuleByID("http.handlers.redis_proxy", json.RawMessage(config))
		return err
	}
	if err := load(`{"namespace": "lifecycle"}`); err != nil {
		t.Error(err)
	}
	if err := load(`{"namespace": "lifecycle", "max_key": 1}`); err == nil || !strings.Contains(err.Error(), "max_key") {
		t.Error(err)
	}
	for settings, want := range map[string]string{
		`{"max_key": 1}`:                           "there is no setting 'max_key'; did you mean max_keys?",
		`{"redis://:secret@h": 1}`:                 "there is no setting like that; known: store, ",
		`{"max_bytes": "64MiB"}`:                   "max_bytes: it takes no string; write a whole number without quotes; sizes are in bytes",
		`{"max_keys": 1.5}`:                        "max_keys: it takes no number 1.5; write a whole number",
		`{"pass_errors": "yes"}`:                   "pass_errors: it takes no string; write true or false",
		`{"methods": "GET"}`:                       "methods: it takes no string; write a list of strings",
		`{"store": 1}`:                             "store: it takes no number; write a string in quotes",
		`{"max_keys": 1, "local_ttl": "30"}`:       `local_ttl: "30" is no duration; write a string such as "30s"`,
		`{"local_ttl": "1s", "drain_timeout": {}}`: `drain_timeout: {} is no duration; write a string such as "30s"`,
		`{"local_ttl": 30}`:                        "local_ttl: 30ns is shorter than a millisecond",
	} {
		if err := load(settings); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", settings, err, want)
		}
	}
	if err := load(`{"namespace": "lifecycle", "max_keys": 0}`); err == nil || !strings.Contains(err.Error(), "max_keys: must be greater than 0") {
		t.Error(err)
	}
	if left := running.Caches(); len(left) != 0 {
		t.Errorf("%d engines are left", len(left))
	}
}

// A setting of HTTP that Provision does not hand on would do nothing.
func TestProvisionSetsEveryFieldOfTheHTTPConfig(t *testing.T) {
	t.Setenv("NAMESPACE", "other")
	lines := exampleLines(t)
	for _, name := range []string{"store", "redis_username", "redis_password", "redis_ca", "redis_cert", "redis_server_name", "key_prefix", "partitions", "durability"} {
		delete(lines, name)
	}
	other := parse(t, strings.Join(slices.Collect(maps.Values(lines)), "\n"))
	other.KeyPrefix = "{http.request.host}/"
	isSet := make(map[string]bool)
	// A setting has the zero value in one of these at most.
	for _, h := range []*Handler{parse(t, ""), other} {
		provision(t, h)
		for field, value := range reflect.ValueOf(h.server).Elem().FieldByName("config").Fields() {
			isSet[field.Name] = isSet[field.Name] || !value.IsZero()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(isSet)) {
		if !isSet[name] {
			t.Errorf("Provision does not set %s of httpapi.Config", name)
		}
	}
}
