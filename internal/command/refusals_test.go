package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func TestCommandsRefuseMistakes(t *testing.T) {
	server := redistest.Start(t)
	n := openNamespace(t, server, "cache")
	n.apply(hundred, createOf("k", "v", store.String, ""))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	site := func(settings string) string { return ":0 {\n\tredis_proxy {\n\t\t" + settings + "\n\t}\n}\n" }
	embedded := write("embedded.Caddyfile", site("max_keys 1"))
	several := write("several.Caddyfile", site("store redis://user:secret@one/1")+strings.ReplaceAll(site("store redis://two\n\t\tnamespace b"), ":0", ":1"))
	none := write("none.Caddyfile", ":0 {\n\trespond hello\n}\n")
	const header = `{"redis_proxy_export":3,"namespace":"cache","eviction":"rank","max_keys":10,"keys":2}` + "\n"
	const first = `{"key":"new","type":"string","value":"v","rank":1,"age":2}` + "\n"
	const end = `{"end":true,"entries":2}` + "\n"
	files := 0
	bad := func(line string) []string {
		files++
		return []string{"import", "--store", server.URL(), "--input", write(fmt.Sprint(files, ".jsonl"), header+first+line+"\n"+end)}
	}

	cases := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no such command", []string{"exprt"}, 2, `there is no command 'exprt'; did you mean export?`},
		{"no such flag of both", []string{"--foo"}, 2, "there is no flag '--foo'; --help lists them"},
		{"no such flag", []string{"export", "--foo"}, 2, "there is no flag '--foo'; --help lists them"},
		{"an argument", []string{"export", "cache"}, 2, `the command takes no argument 'cache'; write values after flags, such as --store`},
		{"a URL as an argument", []string{"export", "redis://:secret@h"}, 2, "the command takes no argument like that; write values after flags"},
		{"a URL as a command", []string{"redis://:secret@h"}, 2, "there is no command like that; known: export, import, version"},
		{"a command that is nearly one", []string{"vesion"}, 2, "there is no command 'vesion'; did you mean version?"},
		{"an argument of version", []string{"version", "1"}, 2, "the command takes no argument '1'"},
		{"a flag that is nearly one", []string{"export", "--stroe=redis://:secret@h"}, 2, "there is no flag '--stroe'; did you mean --store?"},
		{"a flag with one hyphen", []string{"export", "-xredis://:secret@h"}, 2, "there is no flag '-x'; --help lists all flags"},
		{"a flag of another kind", []string{"export", "--resume=secret"}, 2, "--resume: the value is not valid; expected bool"},
		{"a flag without its value", []string{"export", "--store"}, 2, "--store: the value is missing"},
		{"keys that are no number", []string{"import", "--store", server.URL(), "--max-keys", "10k"}, 2, "--max-keys: '10k' is no whole number; write one such as 10000"},
		{"nothing to go by", []string{"export"}, 2, "give --config, or --store and --namespace"},
		{"both", []string{"export", "--store", "redis://h", "--config", embedded}, 2, "--config and --store cannot be combined"},
		{"an embedded store", []string{"export", "--config", embedded}, 2, "the entries of an embedded store are in the memory of the running Caddy"},
		{"an embedded store by name", []string{"export", "--store", "embedded"}, 2, "the entries of an embedded store"},
		{"several namespaces", []string{"export", "--config", several}, 2, "(b in tcp:two:6379/0, cache in tcp:one:6379/1); choose one with --namespace"},
		{"none of them", []string{"export", "--config", several, "--namespace", "c"}, 2, `has no redis_proxy with the namespace \"c\"`},
		{"no handler", []string{"export", "--config", none}, 2, "the configuration has no redis_proxy"},
		{"no configuration", []string{"export", "--config", dir + "/nothing"}, 2, "no such file"},
		{"not a URL", []string{"export", "--store", "http://user:secret@h"}, 2, "unknown scheme"},
		{"a variable that is not set", []string{"export", "--store", "{env.NO_SUCH_URL}"}, 2, "{env.NO_SUCH_URL} is empty"},
		{"a namespace that is none", []string{"export", "--store", server.URL(), "--namespace", "a b"}, 2, "write 1 to 64"},
		{"a namespace without anything", []string{"export", "--store", server.URL(), "--namespace", "typo"}, 2, `this Redis has no namespace \"typo\"`},
		{"no Redis", []string{"export", "--store", "{env.REDIS_URL}"}, 1, "connection refused"},
		{"a URL that would be cut off", []string{"export", "--store", "redis://:p@ss#secret@h"}, 2, "--store: a # would cut the URL off"},
		{"one of the original", []string{"import", "--original", "--store", server.URL(), "--from", "redis://:p@ss/secret@h"}, 2, "--from: an @ may stand once"},
		{"a password with braces", []string{"export", "--store", "redis://:a{secret}@h"}, 2, "--store: there are braces around something that is no placeholder"},
		{"a port that there cannot be", []string{"export", "--store", "redis://h:99999"}, 2, "the port must be"},
		{"a database that there cannot be", []string{"export", "--store", "redis://h/-1"}, 2, "must be a number that is not negative"},
		{"a database that there is not", []string{"export", "--store", server.URL()[:len(server.URL())-1] + "9999"}, 2, "DB index is out of range"},
		{"an original in a database that there is not", []string{"import", "--original", "--store", server.URL(), "--from", server.URL()[:len(server.URL())-1] + "9999"}, 2, "DB index is out of range"},
		{"a full device", []string{"export", "--store", server.URL(), "--output", "/dev/full"}, 1, "no space left on device"},
		{"to resume a device", []string{"export", "--store", server.URL(), "--output", "/dev/full", "--resume"}, 2, "--resume needs a regular file, and /dev/full is not one"},
		{"a directory to write", []string{"export", "--store", server.URL(), "--output", dir}, 2, "is a directory"},
		{"a directory to read", []string{"import", "--store", server.URL(), "--input", dir}, 2, "is a directory"},
		{"to resume nothing", []string{"export", "--store", server.URL(), "--resume"}, 2, "--resume needs --output"},
		{"a directory that is not there", []string{"export", "--store", server.URL(), "--output", dir + "/no/file"}, 2, "no such file"},

		{"no file", []string{"import", "--store", server.URL(), "--input", dir + "/nothing"}, 2, "no such file"},
		{"an empty file", []string{"import", "--store", server.URL(), "--input", write("empty", "")}, 2, "line 1: the file is empty, or was cut off in its first line"},
		{"a compressed file", []string{"import", "--store", server.URL(), "--input", write("gzip", "\x1f\x8b\x08")}, 2, "line 1: the file is not an export: it is compressed with gzip; decompress it first"},
		{"a snapshot of Redis", []string{"import", "--store", server.URL(), "--input", write("rdb", "REDIS0011\xfa")}, 2, "line 1: the file is not an export: it is a snapshot of Redis (RDB)"},
		{"a byte order mark", []string{"import", "--store", server.URL(), "--input", write("mark", "\ufeff"+header+first+first+end)}, 2, "line 1: the file is not an export: it begins with a byte order mark"},
		{"another file to go on with", []string{"export", "--store", server.URL(), "--resume", "--output", write("notes", "milk, eggs")}, 2, "line 1: the file is not an export: expected"},
		{"another file", []string{"import", "--store", server.URL(), "--input", none}, 2, "line 1: the file is not an export"},
		{"a later version", []string{"import", "--store", server.URL(), "--input", write("later", `{"redis_proxy_export":4,"max_keys":"many"}`+"\n")}, 2, "line 1: the file has version 4 of the format, and this program reads version 3: import it with the version of this program that wrote it, or a later one"},
		{"an earlier version", []string{"import", "--store", server.URL(), "--input", write("earlier", `{"redis_proxy_export":1}`+"\n")}, 2, "line 1: the file has version 1 of the format, and this program reads version 3: import it with the version of this program that wrote it, and export it again with this one"},
		{"cut off", []string{"import", "--store", server.URL(), "--input", write("cut", header+first+`{"key":"b"`)}, 2, "the export was cut off before its end"},
		{"lines that are missing", []string{"import", "--store", server.URL(), "--input", write("less", header+first+end)}, 2, "line 3: the export had 2 entries, and the file has 1"},
		{"lines behind the end", []string{"import", "--store", server.URL(), "--input", write("more", header+first+first+end+first)}, 2, "line 5: there is text behind"},
		{"no JSON", bad("{"), 2, "line 3: "},
		{"no key", bad(`{"value":1}`), 2, "line 3: there is no key"},
		{"no value", bad(`{"key":"b"}`), 2, "line 3: there must be either value or base64"},
		{"an unknown field", bad(`{"key":"b","value":1,"ttl":3}`), 2, `line 3: json: unknown field \"ttl\"`},
		{"a field twice", bad(`{"key":"b","value":1,"value":2}`), 2, "line 3: the field value is there twice"},
		{"a field in another case", bad(`{"key":"b","Value":1}`), 2, `line 3: unknown field \"Value\"`},
		{"half of a surrogate pair in a key", bad(`{"key":"\ud800","value":1}`), 2, "line 3: a string has half of a surrogate pair"},
		{"half of one in a value", bad(`{"key":"b","value":"\ud83d\\\ud83d\u0041"}`), 2, "line 3: a string has half of a surrogate pair"},
		{"the halves in the wrong order", bad(`{"key":"b","value":"\ude00\ud83d"}`), 2, "line 3: a string has half of a surrogate pair"},
		{"not UTF-8", bad("{\"key\":\"b\",\"value\":\"\xff\"}"), 2, "line 3: it is not valid UTF-8"},
		{"a content type of what is not raw", bad(`{"key":"b","value":1,"content_type":"image/png"}`), 2, "line 3: content_type is for raw values"},
		{"a content type that is none", bad(`{"key":"b","base64":"","content_type":"a\nb"}`), 2, "line 3: content_type has a control character"},
		{"a long content type", bad(`{"key":"b","base64":"","content_type":"` + strings.Repeat("x", 256) + `"}`), 2, "line 3: content_type has 256 bytes; at most 255 are allowed"},
		{"an entry that is the end", bad(`{"key":"b","value":1,"end":true}`), 2, "line 3: an entry has neither after nor partition nor end"},
		{"an entry that is a partition", bad(`{"key":"b","value":1,"partition":1}`), 2, "line 3: an entry has neither after nor partition nor end"},
		{"a partition that the first line lacks", bad(`{"partition":1}`), 2, "line 3: partition 1 does not follow partition 0, or the first line does not have it"},
		{"partitions that are a number", []string{"import", "--store", server.URL(), "--input", write("number", `{"redis_proxy_export":3,"partitions":4}`+"\n")}, 2, "line 1: json: cannot unmarshal number into Go struct field Header.partitions"},
		{"a partition that is missing", []string{"import", "--store", server.URL(), "--input", write("missing", `{"redis_proxy_export":3,"eviction":"rank","max_keys":9,"partitions":[{},{},{}]}`+"\n"+`{"partition":2}`+"\n")}, 2, "line 2: partition 2 does not follow partition 0"},
		{"a header with a field twice", []string{"import", "--store", server.URL(), "--input", write("twice", `{"redis_proxy_export":3,"keys":1,"keys":2}`+"\n")}, 2, "line 1: the field keys is there twice"},
		{"a header with limits below zero", []string{"import", "--store", server.URL(), "--input", write("below", `{"redis_proxy_export":3,"max_bytes":-1}`+"\n")}, 2, "line 1: max_keys and max_bytes must not be negative"},
		{"a value of another type", bad(`{"key":"b","value":1,"type":"string"}`), 2, "line 3: a value of the type string must be a JSON string or in base64"},
		{"an unknown type", bad(`{"key":"b","base64":"","type":"text"}`), 2, `line 3: unknown type \"text\"`},
		{"a key that no request can name", bad(`{"key":"a/../b","value":1}`), 2, "line 3: the key has a . or .. segment"},
		{"a policy that nobody knows", []string{"import", "--store", server.URL(), "--eviction", "fifo", "--input", none}, 2, `there is no policy \"fifo\"; write one of`},
		{"no keys at all", []string{"import", "--store", server.URL(), "--max-keys", "0", "--input", none}, 2, "--max-keys: must be greater than 0"},
		{"partitions beside a configuration", []string{"import", "--config", several, "--namespace", "b", "--partitions", "2"}, 2, "are for --store"},
		{"partitions of one Redis", []string{"import", "--store", server.URL(), "--partitions", "2", "--input", none}, 2, "--partitions: 2 need a Redis Cluster; write --store redis+cluster://"},
		{"no partition", []string{"import", "--store", server.URL(), "--partitions", "0", "--input", none}, 2, "--partitions: 0 is not possible; write a number from 1 to "},
		{"too many partitions", []string{"import", "--store", server.URL(), "--partitions", "100000", "--input", none}, 2, "--partitions: 100000 is not possible; write a number from 1 to "},
		{"limits beside a configuration", []string{"import", "--config", several, "--namespace", "b", "--max-bytes", "0"}, 2, "are for --store"},
		{"two sources", []string{"import", "--store", server.URL(), "--original", "--input", none}, 2, "give one or the other"},
		{"a part of no file", []string{"import", "--store", server.URL(), "--original", "--partial"}, 2, "give one or the other"},
		{"no original", []string{"import", "--store", server.URL(), "--original"}, 2, "there is no LRU-STORE in this database"},
		{"no Redis to write to", []string{"import", "--store", "{env.REDIS_URL}", "--input", write("whole", header+first+first+end)}, 1, "connection refused"},
	}
	t.Run("commands", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				code, stdout, stderr := runCommand(t, c.args...)
				if code != c.code || !strings.Contains(stderr, c.want) && !strings.Contains(stderr, strings.ReplaceAll(c.want, `\"`, `"`)) {
					t.Errorf("exit code %d, want %d with %s; got\n%s", code, c.code, c.want, stderr)
				}
				if strings.Contains(stdout+stderr, "secret") {
					t.Errorf("a password is shown: %s", stderr)
				}
			})
		}
	})
	if got := n.entries(); len(got) != 1 {
		t.Errorf("something was changed: %v", got)
	}
	t.Run("--partial imports a cut file", func(t *testing.T) {
		_, progress := succeed(t, "import", "--store", server.URL(), "--input", filepath.Join(dir, "cut"), "--partial")
		if !strings.Contains(progress, "imported 1 of 1 entries: 1 restored") {
			t.Error(progress)
		}
	})
}

func TestHelpSaysWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"export", "import", "version"}},
		{nil, []string{"export", "import", "version"}},
		{[]string{"export", "--help"}, []string{"--config", "--store", "--namespace", "--output", "--resume", "--quiet", "Exit codes: 0"}},
		{[]string{"import", "--help"}, []string{"--input", "--original", "--from", "--partial", "--max-keys", "Exit codes: 0"}},
	} {
		stdout, _ := succeed(t, c.args...)
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v does not say %s:\n%s", c.args, want, stdout)
			}
		}
	}
}
