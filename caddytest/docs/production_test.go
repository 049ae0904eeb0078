package docs

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const production = "Caddyfile.production"

func TestTheProductionCaddyfileIsFormatted(t *testing.T) {
	if warning, isDifferent := caddyfile.FormattingDifference(production, []byte(readPage(t, production))); isDifferent {
		t.Errorf("%s, line %d", warning.Message, warning.Line)
	}
}

// secretKey is a key that no line of a log may have.
const secretKey = "a-key-that-nobody-may-see"

func TestTheProductionCaddyfileDoesWhatItSays(t *testing.T) {
	redis := redistest.Start(t)
	if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "cache", "on", ">p#ss", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	password := hashOf(t, "secret")
	s := runSite(t, patient(readPage(t, production)), "REDIS_URL="+redis.URL(), "REDIS_PASSWORD=p#ss", "APP_PASSWORD_HASH="+password, "OPS_PASSWORD_HASH="+password)
	const cache = "https://cache.example.com/cache"
	key := cache + "/" + secretKey
	for _, v := range []visit{
		{"no password", "GET " + key, 401, ""},
		{"to write", "PUT " + key + form + "value=v", 401, ""},
		{"with the key in the body", "POST " + cache + form + "key=" + secretKey + "&value=v", 401, ""},
		{"the password of the dashboard", "GET " + key + ops, 401, ""},
		{"write", "POST " + key + app + form + "value=v", 201, ""},
		{"the answer has the entry", "PUT " + key + app + "\nPrefer: return=representation" + form + "value=v", 200, secretKey},
		{"read", "GET " + key + app + "\nReferer: " + key + "\nX-Forwarded-Uri: /cache/" + secretKey, 200, `"value":"v"`},
		{"read several", "GET " + cache + "?key=" + secretKey + app, 200, `"value":"v"`},
		{"the dashboard without a password", "GET https://cache.example.com/ops/", 401, ""},
		{"its figures", "GET https://cache.example.com/ops/caches", 401, ""},
		{"the password of the cache", "GET https://cache.example.com/ops/caches" + app, 401, ""},
		{"the dashboard", "GET https://cache.example.com/ops/" + ops, 200, "<html"},
		{"its figures, with the policy", "GET https://cache.example.com/ops/caches" + ops, 200, `"eviction":"adaptive"`},
		{"a look-up in the dashboard", "GET https://cache.example.com/ops/caches/none/keys/" + secretKey + ops, 404, ""},
		{"a list in the dashboard", "GET https://cache.example.com/ops/caches/none/keys?prefix=" + secretKey + ops, 404, ""},
		{"another spelling", "GET https://cache.example.com/CACHE/" + secretKey + app, 404, ""},
		{"elsewhere", "GET https://cache.example.com/", 404, ""},
		{"no health checks in public", "GET https://cache.example.com/ready", 404, ""},
		{"no metrics in public", "GET https://cache.example.com/metrics", 404, ""},
		{"ready", "GET http://localhost:8081/ready", 200, `"ready":true,"writes":true`},
		{"serving", "GET http://localhost:8081/serving", 200, `"serving":true`},
		{"alive", "GET http://localhost:8081/live", 200, `"live":true`},
		{"metrics of the cache", "GET http://localhost:8081/metrics", 200, "caddy_redis_proxy_keys{"},
		{"metrics of Caddy", "GET http://localhost:8081/metrics", 200, "caddy_http_requests_total{"},
		{"a look-up at the admin API", "GET http://localhost:2019/redis_proxy/caches/none/keys/" + secretKey, 404, ""},
	} {
		s.visit(t, v)
	}
	// Request targets that a client of Go would not send as they are.
	for target, want := range map[string]int{
		"GET " + key: 200, "GET http://cache.example.com/cache/" + secretKey: 200, "GET HTTPS://cache.example.com/cache?key=" + secretKey: 200,
		"GET /cache%2F" + secretKey: 404, "GET /cache%2f" + secretKey: 404, "GET /cach%65/" + secretKey: 404,
		"GET //" + secretKey: 404, "GET cache:" + secretKey: 404, "CONNECT cache.example.com/cache/" + secretKey: 405,
	} {
		if got := s.sendAsItIs(t, target+" HTTP/1.1\r\nHost: cache.example.com"+strings.ReplaceAll(app, "\n", "\r\n")); got != want {
			t.Errorf("%s: %d, want %d", target, got, want)
		}
	}
	s.visit(t, visit{"the last", "GET https://cache.example.com/the-end", 404, ""})
	deadline := time.Now().Add(patience)
	for !s.log.Contains("/the-end") {
		if time.Now().After(deadline) {
			t.Fatal("the access log has no line of the last request")
		}
		time.Sleep(time.Millisecond)
	}
	if !s.log.Contains(`"uri":"/cache"`) {
		t.Error("the access log has no line of the cache")
	}
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, secretKey) {
			t.Errorf("a line has the key: %s", line)
		}
	}
	for _, secret := range []string{"p#ss", password, "YXBwOnNlY3JldA=="} {
		if s.log.Contains(secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	autosave, err := os.ReadFile(filepath.Join(s.dir, "config/caddy/autosave.json"))
	if err != nil || strings.Contains(string(autosave), "p#ss") || strings.Contains(string(autosave), password) {
		t.Errorf("autosave.json has a secret, or %v", err)
	}
}

// sendAsItIs sends the head of a request to the site of the production Caddyfile, byte for byte,
// and returns the status.
func (s *site) sendAsItIs(t *testing.T, head string) int {
	t.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:"+s.ports.replace("8443"), &tls.Config{InsecureSkipVerify: true, ServerName: "cache.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s\r\nConnection: close\r\n\r\n", head)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestTheProductionCaddyfileNeedsItsVariables(t *testing.T) {
	text := readPage(t, production)
	head, _, _ := strings.Cut(text, "\n{\n")
	config := readDeployed(t, text)
	for _, name := range config.env {
		if !strings.Contains(head, "\n#     "+name+" ") {
			t.Errorf("the head of the file does not name %s", name)
		}
	}
	if !slices.Equal(config.env, []string{"APP_PASSWORD_HASH", "OPS_PASSWORD_HASH", "REDIS_PASSWORD", "REDIS_URL"}) {
		t.Errorf("it reads %v", config.env)
	}
	set := map[string]string{"REDIS_URL": "redis://127.0.0.1:6379/0", "REDIS_PASSWORD": "p", "APP_PASSWORD_HASH": hashOf(t, "secret")}
	set["OPS_PASSWORD_HASH"] = set["APP_PASSWORD_HASH"]
	validate := func(without string) (string, error) {
		dir := t.TempDir()
		cmd := exec.Command(builtCaddy(t), "validate", "--config", filepath.Join(root, production), "--adapter", "caddyfile")
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		for name, value := range set {
			if name != without {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := validate(""); err != nil || !strings.Contains(out, "Valid configuration") {
		t.Errorf("with all variables: %v\n%s", err, out)
	}
	for name, said := range map[string]string{
		"REDIS_URL": "env.REDIS_URL", "REDIS_PASSWORD": "env.REDIS_PASSWORD",
		"APP_PASSWORD_HASH": "username and password are required", "OPS_PASSWORD_HASH": "username and password are required",
	} {
		if out, err := validate(name); err == nil || !strings.Contains(out, said) {
			t.Errorf("without %s: %v\n%s", name, err, out)
		}
	}
}

// The drop-in of systemd fits the Caddyfile, and has no command that tells the environment.
func TestTheServiceFitsItsCaddyfile(t *testing.T) {
	const page = "docs/production.md"
	unit := make(map[string][]string)
	for line := range strings.Lines(blockIn(t, page, "override.conf")) {
		name, value, isSetting := strings.Cut(strings.TrimSpace(line), "=")
		if !isSetting && name != "[Service]" {
			t.Errorf("no setting: %s", line)
		}
		unit[name] = append(unit[name], value)
	}
	for name, command := range map[string]string{"ExecStart": "run --config", "ExecReload": "reload --config"} {
		// The empty one removes the command of the package.
		if got := unit[name]; len(got) != 2 || got[0] != "" || !strings.HasPrefix(got[1], "/usr/local/bin/caddy "+command+" /etc/caddy/Caddyfile") || strings.Contains(got[1], "--environ") {
			t.Errorf("%s is %q", name, got)
		}
	}
	config := readDeployed(t, readPage(t, production))
	stop, err := time.ParseDuration(unit["TimeoutStopSec"][0])
	if err != nil || stop <= config.stopTime() {
		t.Errorf("TimeoutStopSec is %s (%v), Caddy takes %s", stop, err, config.stopTime())
	}
	if !strings.Contains(strings.Join(strings.Fields(readPage(t, page)), " "), fmt.Sprintf("together, which are %.0f s.", config.stopTime().Seconds())) {
		t.Errorf("the page does not say that Caddy takes %s", config.stopTime())
	}
	limit, err := strconv.ParseInt(strings.TrimSuffix(unit["MemoryMax"][0], "M"), 10, 64)
	h := config.caches[0]
	if needed := neededByCaddy(t); err != nil || limit < needed || int64(*h.LocalMaxBytes) != 64*mebibyte || int64(*h.MaxQueueBytes) != 64*mebibyte ||
		!strings.Contains(readPage(t, page), fmt.Sprintf("the [%d MiB](directive.md#memory) that the process", needed)) || !strings.Contains(readPage(t, production), fmt.Sprintf("needs about %d MiB", needed)) {
		t.Errorf("Caddy needs %d MiB, and MemoryMax is %d MiB, %v", needed, limit, err)
	}
	if needed := neededByRedis(t, int64(*h.MaxKeys), int64(*h.MaxBytes), 64); 512*2 < 3*needed || !strings.Contains(readPage(t, production), "`maxmemory 512mb`") {
		t.Errorf("Redis needs %d MiB", needed)
	}
	var names []string
	for line := range strings.Lines(blockIn(t, page, "env")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if names = append(names, name); !strings.HasPrefix(value, "'") || !strings.HasSuffix(value, "'") {
			t.Errorf("%s has no quotes", name)
		}
	}
	if slices.Sort(names); !slices.Equal(names, config.env) {
		t.Errorf("the file has %v, the Caddyfile reads %v", names, config.env)
	}
}

// Examples of deployments recommend what the project recommends.
func TestDeploymentsHaveTheRecommendedPolicy(t *testing.T) {
	check := func(where, text string) {
		caches := readDeployed(t, text).caches
		if len(caches) == 0 {
			t.Errorf("%s has no cache", where)
		}
		for _, h := range caches {
			if h.Eviction != "adaptive" || !h.RankLocalHits {
				t.Errorf("%s: eviction %q, rank_local_hits %v", where, h.Eviction, h.RankLocalHits)
			}
		}
	}
	check(production, readPage(t, production))
	check("docs/docker.md", blockIn(t, "docs/docker.md", "conf/Caddyfile"))
	check("docs/nodes.md", blockIn(t, "docs/nodes.md", "Caddyfile"))
	for _, b := range pageBlocks(t, "docs/scale.md") {
		if b.language == "caddyfile" {
			check("docs/scale.md", inItsSite(b.text()))
		}
	}
	const kubernetes = "docs/kubernetes.md"
	check(kubernetes, readManifests(t, blockIn(t, kubernetes, "cache.yaml")).config.Data["Caddyfile"])
}
