package redisproxy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"
)

var update = flag.Bool("update", false, "write the golden files anew")

func adapt(t testing.TB, config string) (string, error) {
	t.Helper()
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	out, warnings, err := adapter.Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Error(w)
		}
	}
	var indented bytes.Buffer
	if err == nil {
		if err := json.Indent(&indented, out, "", "\t"); err != nil {
			t.Fatal(err)
		}
		indented.WriteByte('\n')
	}
	return indented.String(), err
}

// TestAdapt compares the JSON of whole Caddyfiles with golden files.
func TestAdapt(t *testing.T) {
	for _, name := range []string{"defaults", "all", "matchers", "dashboard", "health"} {
		t.Run(name, func(t *testing.T) {
			config, err := os.ReadFile("testdata/" + name + ".Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			got, err := adapt(t, string(config))
			if err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what testdata/%s.Caddyfile becomes (go test -run TestAdapt . -update writes it):\n%s", golden, name, firstDifference(got, string(want)))
			}
		})
	}
}

// firstDifference shows the first lines that differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestBadCaddyfiles(t *testing.T) {
	for _, c := range []struct{ name, settings, want string }{
		{"unknown", "max_key 1", `there is no subdirective 'max_key'; did you mean max_keys?, at Caddyfile:4`},
		{"unknown, with hyphens", "max-queue-bytes 1MiB", "there is no subdirective 'max-queue-bytes'; did you mean max_queue_bytes?, at Caddyfile:4"},
		{"unknown, the beginning", "max_value 1MiB", "did you mean max_value_size?, at Caddyfile:4"},
		{"unknown, like none", "compression gzip", "there is no subdirective 'compression'; known: store, redis_username, redis_password, redis_ca, redis_cert, redis_server_name, path_prefix, "},
		{"twice", "max_keys 1\nmax_keys 2", "max_keys: it is already specified; write it once, at Caddyfile:5"},
		{"twice, a list", "methods GET\nmethods PUT", "methods: it is already specified; write it once, at Caddyfile:5"},
		{"twice, a flag", "pass_errors\npass_errors", "pass_errors: it is already specified; write it once, at Caddyfile:5"},
		{"no argument", "\nnamespace", "namespace: its value is missing; a variable {$NAME} that is not set gives no value, and a # after a space begins a comment, at Caddyfile:5"},
		{"two arguments", "max_keys 1 2", "max_keys: takes one value, and there are 2; put a value with spaces in double quotes, at Caddyfile:4"},
		{"an argument of a flag", "pass_errors yes", "pass_errors: it takes no value; the line alone switches it on, leave it out to switch it off, at Caddyfile:4"},
		{"no list", "methods", "methods: its value is missing; "},
		{"no origins", "trusted_origins", "trusted_origins: its value is missing; "},
		{"a block", "store embedded {\n\tfoo\n}", "store: it takes no block; write its value on the line, at Caddyfile:5"},

		{"store, an address", "store localhost:6379", `store: it is no URL; write embedded, or a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, at Caddyfile:4`},
		{"store, a scheme", "store http://localhost", `store: unknown scheme; write a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, at Caddyfile:4`},
		{"store, retries", "store redis://localhost?max_retries=3", `store: the option max_retries is not allowed in the URL`},
		{"store, time-outs", "store redis://localhost?read_timeout=3s", `store: the option read_timeout is not allowed in the URL; set redis_timeout instead, at Caddyfile:4`},
		{"store, nothing", `store ""`, "store: it is no URL; "},
		{"store, two", "store redis://:a b@host", "store: takes one value, and there are 2; put a value with spaces in double quotes, at Caddyfile:4"},
		{"store, a fragment", "store redis://app:tok@127.0.0.1:1#1@host/0", "store: a # would cut the URL off; "},
		{"redis_username, nothing", `redis_username ""`, "redis_username: it is empty; write a value, or leave the line out, at Caddyfile:4"},
		{"redis_password, none", "redis_password", "redis_password: its value is missing; "},
		{"redis_password, a comment", "store redis://h\nredis_password #secret", "redis_password: its value is missing; a variable {$NAME} that is not set gives no value, and a # after a space begins a comment, at Caddyfile:5"},
		{"max_keys, none at all", "max_keys", "max_keys: its value is missing; "},
		{"path_prefix, relative", "path_prefix cache", `path_prefix: "cache" does not begin with a slash; write a path such as /cache, at Caddyfile:4`},
		{"path_prefix, slash at the end", "path_prefix /cache/", `path_prefix: "/cache/" must not end with a slash; leave it out, at Caddyfile:4`},
		{"path_prefix, a wildcard", "path_prefix /cache/*", `path_prefix: "/cache/*" must not contain a wildcard; leave it out, it is a prefix by itself, at Caddyfile:4`},
		{"path_prefix, empty segments", "path_prefix /a//b", `path_prefix: "/a//b" must not have empty, . or .. segments; write the path as clients send it, at Caddyfile:4`},
		{"path_prefix, dots", "path_prefix /a/../b", `path_prefix: "/a/../b" must not have empty, . or .. segments; write the path as clients send it, at Caddyfile:4`},
		{"path_prefix, escapes", "path_prefix /c%61che", `path_prefix: "/c%61che" must not contain characters that a URL has to percent-encode; use other characters, at Caddyfile:4`},
		{"path_prefix, to escape", "path_prefix /käse", `path_prefix: "/käse" must not contain characters that a URL has to percent-encode; use other characters, at Caddyfile:4`},
		{"namespace, a brace", "namespace a}b", `namespace: "a}b" is no namespace; write 1 to 64 of A-Z a-z 0-9 _ . : -, at Caddyfile:4`},
		{"namespace, too long", "namespace " + strings.Repeat("n", 65), `namespace: "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" is no namespace; write 1 to 64 of A-Z a-z 0-9 _ . : -, at Caddyfile:4`},
		{"key_prefix, no slash behind a placeholder", "key_prefix {host}", `key_prefix: "{http.request.host}" has a placeholder and no slash at its end; add a slash, or one value of the placeholder could give access to the keys of another value, at Caddyfile:4`},
		{"key_prefix, two placeholders side by side", "key_prefix {a}{b}/", `key_prefix: "{a}{b}/" has two placeholders without a slash between them; add one, because different values could make the same prefix, at Caddyfile:4`},
		{"key_prefix, two with something else between them", "key_prefix x/{a}-{b}/", `key_prefix: "x/{a}-{b}/" has two placeholders without a slash between them; add one, because different values could make the same prefix, at Caddyfile:4`},
		{"key_prefix, half a placeholder", "key_prefix {host/", `key_prefix: "{host/" has a placeholder without its other brace; write both, at Caddyfile:4`},
		{"key_prefix, dots", "key_prefix a/../", `key_prefix: "a/../" has . or .. segments; leave them out, at Caddyfile:4`},
		{"key_prefix, a line feed", "key_prefix \"a\nb\"", `key_prefix: "a\nb" has control characters; leave them out`},
		{"methods, unknown", "methods GET PATCH", `methods: there is no method "PATCH"; write some of GET, HEAD, POST, PUT, DELETE, at Caddyfile:4`},
		{"methods, lower case", "methods get", `methods: there is no method "get"; write some of GET, HEAD, POST, PUT, DELETE, at Caddyfile:4`},
		{"methods, twice", "methods GET GET", `methods: GET is there twice; write it once, at Caddyfile:4`},
		{"max_keys, none", "max_keys 0", `max_keys: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_keys, negative", "max_keys -1", `max_keys: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_keys, no number", "max_keys 10k", `max_keys: '10k' is no whole number; write one such as 10000, at Caddyfile:4`},
		{"max_keys, too many", "max_keys 99999999999999999999", `max_keys: '99999999999999999999' is too large; write a whole number such as 10000, at Caddyfile:4`},
		{"max_bytes, no size", "max_bytes many", `max_bytes: 'many' is no size; write one such as 64MiB, 64MB or 1024, at Caddyfile:4`},
		{"max_bytes, no unit", "max_bytes 1XB", `max_bytes: '1XB' is no size; write one such as 64MiB, 64MB or 1024, at Caddyfile:4`},
		{"max_bytes, too large", "max_bytes 15EiB", `max_bytes: '15EiB' is too large; write a size such as 64MiB, at Caddyfile:4`},
		{"eviction", "eviction unheard-of", `eviction: there is no policy "unheard-of"; write one of rank, lru`},
		{"local_ttl, no unit", "local_ttl 30", `local_ttl: '30' is no duration; write a number with a unit, such as 30s, 250ms or 1d, at Caddyfile:4`},
		{"local_ttl, negative", "local_ttl -1s", `local_ttl: must not be negative; write 0, or a duration such as "30s", at Caddyfile:4`},
		{"local_max_bytes", "local_max_bytes 0", `local_max_bytes: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_queue_jobs", "max_queue_jobs 0", `max_queue_jobs: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_queue_bytes", "max_queue_bytes 0B", `max_queue_bytes: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_key_size", "max_key_size 0", `max_key_size: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"max_value_size", "max_value_size 0", `max_value_size: must be greater than 0; leave the line out for the default, at Caddyfile:4`},
		{"redis_timeout", "redis_timeout 0s", `redis_timeout: must be greater than 0; write a duration such as "1s", at Caddyfile:4`},
		{"drain_timeout", "drain_timeout 0s", `drain_timeout: must be greater than 0; write a duration such as "1s", at Caddyfile:4`},
		{"local_ttl, too short", "local_ttl 30us", `local_ttl: 30µs is shorter than a millisecond; write it with a unit, such as "30s"`},
		{"max_key_size, too large", "max_key_size 1MiB", "max_key_size: must be at most 64KiB (65536); write less, at Caddyfile:4"},
		{"max_value_size, too large", "max_value_size 1GiB", "max_value_size: must be at most 512MiB (536870912); write less, at Caddyfile:4"},
		{"a placeholder in a number", "max_keys {env.N}", "max_keys: numbers, sizes and durations take no placeholder such as {env.N}; write a value, or {$N}, which is replaced by a variable of the environment as the Caddyfile is read, at Caddyfile:4"},
		{"a placeholder in a size", "max_bytes {env.N}MiB", "max_bytes: numbers, sizes and durations take no placeholder"},
		{"a placeholder in a duration", "local_ttl {file./ttl}", "local_ttl: numbers, sizes and durations take no placeholder such as {file./ttl}; write a value, or {$NAME}"},

		{"a queue below the largest value", "max_value_size 1MiB\nmax_queue_bytes 1MiB\nmax_keys 3", "max_queue_bytes: 1MiB has no room for the largest entry; write at least 1049088, the sum of max_key_size (512) and max_value_size (1MiB), at Caddyfile:5"},
		{"a value above the default queue", "max_keys 3\nmax_value_size 100MiB", "max_queue_bytes: 64MiB has no room for the largest entry; write at least 104858112, the sum of max_key_size (512) and max_value_size (100MiB), at Caddyfile:5"},
		{"partitions, none", "partitions 0", "partitions: must be greater than 0; leave the line out for the default, at Caddyfile:4"},
		{"partitions, too many", "partitions 257", "partitions: must be at most 256; write less, at Caddyfile:4"},
		{"partitions of no cluster", "store redis://h\npartitions 3", "partitions: 3 need a Redis Cluster, whose servers share them; a store that is no cluster gains nothing by partitions: leave the line out, or set store to redis+cluster://…, at Caddyfile:5"},
		{"partitions behind Sentinels", "partitions 3\nstore redis+sentinel://h/m", "partitions: 3 need a Redis Cluster, whose servers share them; "},
		{"partitions of the embedded store", "partitions 2", "partitions: 2 need a Redis Cluster, whose servers share them; "},
		{"a partition without a key", "store redis+cluster://h\npartitions 3\nmax_keys 2", "max_keys: 2 is less than one key for each of the 3 partitions; write at least 3, or fewer partitions, at Caddyfile:6"},
		{"partitions without a key each, with the store in the environment", "store {env.REDIS_URL}\npartitions 3\nmax_keys 2", "max_keys: 2 is less than one key for each of the 3 partitions; "},
		{"a partition below the largest value", "store redis+cluster://h\npartitions 4\nmax_bytes 4MiB", "max_bytes: 4MiB for 4 partitions is 1048576 bytes for each, which has no room for the largest entry; write at least 4196352, or fewer partitions: an entry may have 1049088 bytes, the sum of max_key_size (512) and max_value_size (1MiB), at Caddyfile:6"},
		{"a prefix that leaves no room", "max_key_size 4\n\nkey_prefix abcd", "key_prefix: it has 4 bytes and leaves no room for a key, because max_key_size allows 4 for both together; write a shorter prefix, or a larger max_key_size, at Caddyfile:6"},
		{"tenants that a shared cache would mix", "key_prefix {http.auth.user.id}/\nmax_keys 3\ncache_control max-age=60", `key_prefix has {http.auth.user.id}, which is not known to be part of the URL; add private (only browsers cache then), no-cache or no-store, at Caddyfile:6`},
		{"credentials of an embedded store", "max_keys 3\nredis_password x", "redis_password: the embedded store takes no credentials; set store to the URL of a Redis server, or leave redis_password out, at Caddyfile:5"},
		{"credentials twice", "redis_password x\nstore redis://:y@h", "redis_password: the URL of store has credentials too; take them out of the URL, or leave redis_password out, at Caddyfile:4"},
		{"a user without a password", "store redis://h\nredis_username x", "redis_username: a user without a password is not sent to Redis; set redis_password too, at Caddyfile:5"},

		{"redis_ca, none", "redis_ca", "redis_ca: its value is missing; "},
		{"redis_cert without a key", "store rediss://h\nredis_cert /c.pem", "redis_cert: it takes two files; write that of the certificate, and then that of its key, at Caddyfile:5"},
		{"redis_server_name with a port", "redis_server_name redis:6379", "redis_server_name: it is no name of a server; write a name of letters, digits, dots and hyphens, or an address, without a port, at Caddyfile:4"},
		{"certificates without TLS", "store redis://h\nredis_cert /c.pem /k.pem", "redis_cert: store does not use TLS; write rediss in place of redis in its URL, or leave redis_cert out, at Caddyfile:5"},
		{"a CA that is not used", "redis_ca /ca.pem\nstore rediss://h?skip_verify=true", "redis_ca: the option skip_verify in the URL of store switches off the check that this is for; leave the option out, or leave redis_ca out, at Caddyfile:4"},

		{"cache_control", "cache_control no-cache, private", "cache_control: takes one value, and there are 2; put a value with spaces in double quotes, at Caddyfile:4"},
		{"cache_control, a line feed", "cache_control \"a\nb\"", `cache_control: "a\nb" has control characters; leave them out`},
		{"client_no_cache", "client_no_cache maybe", `client_no_cache: it does not take "maybe"; write honor or ignore, at Caddyfile:4`},
		{"respond_with", "respond_with nothing", `respond_with: it does not take "nothing"; write minimal or representation, at Caddyfile:4`},
		{"trusted_origins, a host", "trusted_origins example.com", `trusted_origins: invalid origin "example.com": scheme is required; write scheme://host[:port], such as https://app.example.com, at Caddyfile:4`},
		{"trusted_origins, all", "trusted_origins *", `trusted_origins: "*" has a wildcard: pages of sites that nobody named could write with the cookies of their visitors; name each origin as scheme://host[:port], such as https://app.example.com, at Caddyfile:4`},
		{"trusted_origins, all hosts", "trusted_origins https://a.test https://*.test", `trusted_origins: "https://*.test" has a wildcard: `},
		{"trusted_origins, a path", "trusted_origins https://example.com/", `trusted_origins: invalid origin "https://example.com/": path, query, and fragment are not allowed; write scheme://host[:port], such as https://app.example.com, at Caddyfile:4`},
		{"trusted_origins, null", "trusted_origins null", `trusted_origins: invalid origin "null": scheme is required; `},
		{"trusted_origins, upper case", "trusted_origins https://App.example.com:8443", `trusted_origins: browsers never send "https://App.example.com:8443", and origins must be equal to the byte; write https://app.example.com:8443, at Caddyfile:4`},
		{"trusted_origins, the default port", "trusted_origins https://a.test:443", `browsers never send "https://a.test:443", and origins must be equal to the byte; write https://a.test, at`},
		{"trusted_origins, a user", "trusted_origins http://u@a.test:80", `browsers never send "http://u@a.test:80", and origins must be equal to the byte; write http://a.test, at`},
		{"trusted_origins, an empty port", "trusted_origins http://[::1]:", `browsers never send "http://[::1]:", and origins must be equal to the byte; write http://[::1], at`},
		{"trusted_origins, not ASCII", "trusted_origins https://bücher.example", `trusted_origins: "https://bücher.example" is not ASCII; write its host as browsers send it, with xn--, at Caddyfile:4`},
		{"trusted_credentials of nobody", "namespace n\ntrusted_credentials", "trusted_credentials: it lets pages of trusted_origins use the cookies of their visitors, and trusted_origins names none; name them, or leave trusted_credentials out, at Caddyfile:5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt(t, ":8080 {\n\thandle {\n\t\tredis_proxy {\n"+c.settings+"\n\t\t}\n\t}\n}\n")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Errors must not repeat text that may be part of a password.
func TestErrorsInCaddyfilesTellNoSecrets(t *testing.T) {
	for _, settings := range []string{
		"store redis://:pa ss-secret@host",
		"store redis://:pass@host {\nsecret\n}",
		"store redis://:p@ss#secret@host",
		"redis_password my secret",
		"redis_password a secret {\n}",
		"redis_username {env.A} secret",
		"redis://:secret@host",
		"stores redis://:secret@host",
	} {
		_, err := adapt(t, ":8080 {\nredis_proxy {\n"+settings+"\n}\n}\n")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

func TestNoArgumentIsRepeatedThatMayBeAURL(t *testing.T) {
	for _, directive := range []string{"redis_proxy redis://:secret@host", "redis_proxy /cache/* redis://:secret@host {\n}", "redis_proxy_dashboard redis://:secret@host", "redis_proxy_health redis://:secret@host"} {
		_, err := adapt(t, ":8080 {\n"+directive+"\n}\n")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", directive, err)
		}
	}
}

func TestMatchersInCaddyfiles(t *testing.T) {
	for _, c := range []struct{ name, site, want string }{
		{"an argument", "redis_proxy cache", `redis_proxy takes no argument 'cache' except a matcher; write settings into a block, each on a line of its own, at Caddyfile:2`},
		{"two matchers", "redis_proxy /a/* /b/*", `redis_proxy takes no argument '/b/*' except a matcher; write settings into a block, each on a line of its own, at Caddyfile:2`},
		{"an unknown matcher", "redis_proxy @foo", "unrecognized matcher name: @foo"},
		{"one path", "redis_proxy /kv", "the matcher /kv matches this path alone, and keys are below it: write /kv/*, or set path_prefix, at Caddyfile:2"},
		{"a wildcard inside", "redis_proxy /a/*/b/*", `the matcher /a/*/b/* cannot give the path prefix, set path_prefix: "/a/*/b" must not contain a wildcard`},
		{"a placeholder", "redis_proxy /{host}/*", "cannot give the path prefix"},
		{"apart", "redis_proxy /kv/* {\npath_prefix /cache\n}", "path_prefix /cache is never matched by the matcher /kv/*, at Caddyfile:2"},
		{"beside", "redis_proxy /cach/* {\npath_prefix /cache\n}", "path_prefix /cache is never matched by the matcher /cach/*, at Caddyfile:2"},
		{"a named one apart", "@kv path /kv/* /kv2\nredis_proxy @kv", "path_prefix /cache is never matched by the matcher /kv/* /kv2, at Caddyfile:3"},
		{"a file", "redis_proxy /cache.html {\npath_prefix /cache\n}", "path_prefix /cache is never matched by the matcher /cache.html"},

		{"any", "redis_proxy *", ""},
		{"a part of the keys", "redis_proxy /cache/public/* {\npath_prefix /cache\n}", ""},
		{"above", "redis_proxy /api/* {\npath_prefix /api/cache\n}", ""},
		{"in another case", "redis_proxy /Cache/* {\npath_prefix /cache\n}", ""},
		{"a placeholder and a prefix", "redis_proxy /{host}/* {\npath_prefix /cache\n}", ""},
		{"a placeholder in the prefix", "redis_proxy /kv/* {\npath_prefix {env.PREFIX}\n}", ""},
		{"the collection alone", "redis_proxy /cache {\npath_prefix /cache\n}", ""},
		{"a suffix", "@a path *.json\nredis_proxy @a", ""},
		{"one of several", "@a path /kv/* /cache/*\nredis_proxy @a", ""},
		{"other matchers", "@a method GET\nredis_proxy @a", ""},
		{"root", "redis_proxy /*", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt(t, ":8080 {\n"+c.site+"\n}\n")
			if c.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, settings := range []string{
		"",
		"max_bytes 0\nlocal_ttl 0\ncache_control \"\"",
		"store rediss://localhost\nredis_ca /a.pem /b.pem\nredis_cert /c.pem /k.pem\nredis_server_name redis",
		"store redis://localhost/3\nredis_username u\nredis_password p\npath_prefix /kv\nnamespace n\nkey_prefix {host}/\nmethods GET PUT\npartitions 1\nmax_keys 2\nmax_bytes 1MB\neviction rank\nrank_local_hits\nlocal_ttl 1m\n" +
			"local_max_bytes 1KiB\nmax_queue_jobs 3\nmax_queue_bytes 40\nmax_key_size 10\nmax_value_size 6\nredis_timeout 7s\ndurability replicas 2\ndrain_timeout 8ms\nstale_if_error 1h\nunsubscribed_ttl 0\ndefault_ttl 0\nmax_ttl 0\n" +
			"cache_control private\nclient_no_cache ignore\nrespond_with representation\ntrusted_origins https://a.test\ntrusted_credentials\npass_errors\nplaceholders",
	} {
		first, err := json.Marshal(parse(t, settings))
		if err != nil {
			t.Fatal(err)
		}
		var h Handler
		if err := json.Unmarshal(first, &h); err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(&h)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s became %s (%v)", first, second, err)
		}
		if n := bytes.Count(first, []byte(":")); settings != "" && n < strings.Count(settings, "\n")+1 {
			t.Errorf("something is missing from %s", first)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	f.Add("redis_proxy {\nmax_keys 1\n}")
	f.Add("redis_proxy /kv/* {\nstore redis://h\nmethods GET PUT\n}")
	f.Add("redis_proxy @x {\nlocal_ttl 1d\nmax_bytes 1GiB\n}")
	f.Fuzz(func(t *testing.T, directive string) {
		adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
		_, _, _ = adapter.Adapt([]byte(":8080 {\n"+directive+"\n}\n"), nil)
	})
}

// Caddy warns at each start of a Caddyfile that `caddy fmt` would change.
func TestTheExampleIsFormatted(t *testing.T) {
	example, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if warning, isDifferent := caddyfile.FormattingDifference("Caddyfile.example", example); isDifferent {
		t.Errorf("%s, line %d", warning.Message, warning.Line)
	}
}

func TestBadDashboardsAndHealthChecks(t *testing.T) {
	for _, c := range []struct{ name, directive, want string }{
		{"an argument", "NAME now", `NAME takes no argument 'now' except a matcher; put path_prefix into a block, at Caddyfile:2`},
		{"unknown", "NAME {\n\tnamespace a\n}", `there is no subdirective 'namespace'; known: path_prefix, at Caddyfile:3`},
		{"twice", "NAME {\n\tpath_prefix /a\n\tpath_prefix /a\n}", "path_prefix: it is already specified; write it once, at Caddyfile:4"},
		{"no path", "NAME {\n\tpath_prefix\n}", "path_prefix: its value is missing; "},
		{"two paths", "NAME {\n\tpath_prefix /a /b\n}", "path_prefix: takes one value, and there are 2; put a value with spaces in double quotes, at Caddyfile:3"},
		{"a slash at the end", "NAME {\n\tpath_prefix /a/\n}", `path_prefix: "/a/" must not end with a slash; leave it out, at Caddyfile:3`},
		{"a matcher of one path", "NAME /ops", "the matcher /ops matches this path alone, and BELOW are below it: write /ops/*, or set path_prefix, at Caddyfile:2"},
		{"a matcher that never meets", "NAME /ops/* {\n\tpath_prefix /b\n}", "path_prefix /b is never matched by the matcher /ops/*, at Caddyfile:2"},
	} {
		for directive, below := range map[string]string{"redis_proxy_dashboard": "the files and figures of the dashboard", "redis_proxy_health": "ready, serving and live"} {
			t.Run(directive+" "+c.name, func(t *testing.T) {
				names := strings.NewReplacer("NAME", directive, "BELOW", below)
				_, err := adapt(t, ":8080 {\n"+names.Replace(c.directive)+"\n}\n")
				if want := names.Replace(c.want); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			})
		}
	}
}
