package docs

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	redisproxy "github.com/redis-proxy/caddy-redis-proxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// loadCompose reads a Compose file as Compose does: an unknown name is an error, and so is a
// dependency or a volume that is not there.
func loadCompose(t *testing.T, text string) *types.Project {
	t.Helper()
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  t.TempDir(),
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
	}, func(o *loader.Options) {
		o.SetProjectName("page", true)
		o.Profiles = []string{"*"}
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// blockIn returns the block of a page that is written to a file.
func blockIn(t *testing.T, page, file string) string {
	t.Helper()
	for _, b := range pageBlocks(t, page) {
		if b.file == file {
			return b.text()
		}
	}
	t.Fatalf("%s has no %s", page, file)
	return ""
}

// deployed is the configuration of a Caddyfile, as far as deployments depend on it.
type deployed struct {
	ports                      map[string]bool
	env                        []string // the variables that it reads
	shutdownDelay, gracePeriod time.Duration
	caches                     []redisproxy.Handler
}

var (
	envPlaceholder = regexp.MustCompile(`\{env\.(\w+)\}`)
	commentLine    = regexp.MustCompile(`(?m)^\s*#.*$`)
)

func readDeployed(t *testing.T, caddyfile string) deployed {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	d := deployed{ports: make(map[string]bool)}
	for _, m := range envPlaceholder.FindAllStringSubmatch(commentLine.ReplaceAllString(caddyfile, ""), -1) {
		d.env = append(d.env, m[1])
	}
	slices.Sort(d.env)
	d.env = slices.Compact(d.env)
	var config struct {
		Apps struct {
			HTTP struct {
				ShutdownDelay caddy.Duration `json:"shutdown_delay"`
				GracePeriod   caddy.Duration `json:"grace_period"`
				Servers       map[string]struct{ Listen []string }
			}
		}
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	d.shutdownDelay, d.gracePeriod = time.Duration(config.Apps.HTTP.ShutdownDelay), time.Duration(config.Apps.HTTP.GracePeriod)
	for _, s := range config.Apps.HTTP.Servers {
		for _, address := range s.Listen {
			d.ports[address[strings.LastIndex(address, ":")+1:]] = true
		}
	}
	var whole any
	if err := json.Unmarshal(adapted, &whole); err != nil {
		t.Fatal(err)
	}
	d.caches = cachesIn(t, whole)
	return d
}

// cachesIn returns the redis_proxy handlers in a configuration.
func cachesIn(t *testing.T, config any) (found []redisproxy.Handler) {
	t.Helper()
	switch c := config.(type) {
	case []any:
		for _, v := range c {
			found = append(found, cachesIn(t, v)...)
		}
	case map[string]any:
		for _, v := range c {
			found = append(found, cachesIn(t, v)...)
		}
		if c["handler"] == "redis_proxy" {
			delete(c, "handler")
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			var h redisproxy.Handler
			if err := json.Unmarshal(text, &h); err != nil {
				t.Fatal(err)
			}
			found = append(found, h)
		}
	}
	return found
}

var (
	cacheBlock   = regexp.MustCompile(`(?m)^(\s*redis_proxy \{\n)`)
	redisTimeout = regexp.MustCompile(`(?m)^\s*redis_timeout .*\n`)
)

// patient gives the caches of a Caddyfile more time than a busy machine needs.
func patient(caddyfile string) string {
	return cacheBlock.ReplaceAllString(redisTimeout.ReplaceAllString(caddyfile, ""), "${1}redis_timeout 20s\n")
}

// stopTime returns the longest time that Caddy takes to stop.
func (d *deployed) stopTime() time.Duration {
	drain := 5 * time.Second // the default, which docs/directive.md has
	for _, h := range d.caches {
		if h.DrainTimeout != nil {
			drain = max(drain, time.Duration(*h.DrainTimeout))
		}
	}
	return d.shutdownDelay + d.gracePeriod + drain
}

const mebibyte = 1 << 20

// neededByCaddy returns the memory that docs/directive.md says that Caddy needs, in MiB, with
// the defaults of the local tier and of the queue.
func neededByCaddy(t *testing.T) int64 {
	t.Helper()
	page := readPage(t, "docs/directive.md")
	sum := int64(0)
	for _, row := range []string{"| Caddy, with 256 connections of HTTP/1.1 |", "| the local tier |", "| writes that wait, and [bodies that arrive](#arriving-bodies) |"} {
		_, rest, ok := strings.Cut(page, row)
		line, _, _ := strings.Cut(rest, "\n")
		m := regexp.MustCompile(`\| (\d+) MiB \|$`).FindStringSubmatch(line)
		if !ok || m == nil {
			t.Fatalf("docs/directive.md has no row %s", row)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		sum += n
	}
	return sum
}

// neededByRedis returns the memory of the entries in MiB, as docs/redis.md computes it: all
// expire, and eviction is adaptive.
func neededByRedis(t *testing.T, keys, bytes, keySize int64) int64 {
	t.Helper()
	page := strings.Join(strings.Fields(readPage(t, "docs/redis.md")), " ")
	for _, fact := range []string{
		"An entry costs about 210 bytes, three times its key and once its value.",
		"costs about 115 bytes more, and its key once more",
		"| 1,000 to 5,000 | 0.59 to 0.60 times | 0.59 to 0.64 times |",
	} {
		if !strings.Contains(page, fact) {
			t.Fatalf("docs/redis.md no longer says: %s", fact)
		}
	}
	entries := 210*keys + 2*keySize*keys + bytes
	expiries := (115 + keySize) * keys
	// At most: the overhead belongs to meta and ranks, and a key is in both.
	adaptive := 2 * 64 * (210 + 2*keySize) * keys / 100
	return (entries + expiries + adaptive + mebibyte - 1) / mebibyte
}

func TestComposeFitsItsCaddyfile(t *testing.T) {
	const page = "docs/docker.md"
	project := loadCompose(t, blockIn(t, page, "compose.yaml"))
	caddyfile := blockIn(t, page, "conf/Caddyfile")
	config := readDeployed(t, caddyfile)
	dockerfile := readPage(t, "xcaddy.Dockerfile")
	cache, redis, app := project.Services["cache"], project.Services["redis"], project.Services["app"]

	if got := slices.Sorted(maps.Keys(cache.Environment)); !slices.Equal(got, config.env) {
		t.Errorf("the environment has %v, the Caddyfile reads %v", got, config.env)
	}
	for _, p := range cache.Ports {
		port := strconv.Itoa(int(p.Target))
		if !config.ports[port] || !regexp.MustCompile(`(?m)^EXPOSE .*\b`+port+`\b`).MatchString(dockerfile) {
			t.Errorf("port %s is published; the Caddyfile listens on %v", port, config.ports)
		}
		if port == "8080" || p.HostIP != "127.0.0.1" {
			t.Errorf("an unguarded port is published: %+v", p)
		}
	}
	if len(redis.Ports) != 0 {
		t.Error("Redis has a published port")
	}
	for _, v := range cache.Volumes {
		if v.Type == types.VolumeTypeBind && !strings.Contains(dockerfile, `"--config", "`+v.Target+`/Caddyfile"`) {
			t.Errorf("the image does not read %s", v.Target)
		}
	}
	for name, s := range project.Services {
		for _, on := range slices.Sorted(maps.Keys(s.DependsOn)) {
			if s.DependsOn[on].Condition != types.ServiceConditionHealthy || project.Services[on].HealthCheck == nil {
				t.Errorf("%s does not wait until %s is healthy", name, on)
			}
		}
		if name != "app" && (s.MemLimit == 0 || s.Restart != types.RestartPolicyUnlessStopped) {
			t.Errorf("%s: mem_limit %d, restart %s", name, s.MemLimit, s.Restart)
		}
	}
	if grace := time.Duration(*cache.StopGracePeriod); grace <= config.stopTime() {
		t.Errorf("stop_grace_period is %s, Caddy takes %s", grace, config.stopTime())
	}

	var maxMemory types.UnitBytes
	if i := slices.Index(redis.Command, "--maxmemory"); i < 0 || maxMemory.DecodeMapstructure(redis.Command[i+1]) != nil {
		t.Fatalf("no maxmemory in %v", redis.Command)
	}
	h := config.caches[0]
	text := readPage(t, page)
	needed := neededByRedis(t, int64(*h.MaxKeys), int64(*h.MaxBytes), 64)
	if !strings.Contains(text, "one and a half times "+strconv.FormatInt(needed, 10)+" MiB") || int64(maxMemory)*2 < 3*needed*mebibyte {
		t.Errorf("Redis needs %d MiB, maxmemory is %d MiB", needed, maxMemory/mebibyte)
	}
	if redis.MemLimit < 2*maxMemory {
		t.Errorf("the limit of redis is %d", redis.MemLimit)
	}
	needed = neededByCaddy(t)
	if !strings.Contains(text, strconv.FormatInt(needed, 10)+" MiB: Caddy, a local tier of 64 MiB") || int64(cache.MemLimit) < needed*mebibyte || h.LocalMaxBytes != nil || h.MaxQueueBytes != nil {
		t.Errorf("Caddy needs %d MiB, and its limit is %d MiB", needed, cache.MemLimit/mebibyte)
	}

	server := redistest.Start(t)
	address, err := url.Parse(*cache.Environment["REDIS_URL"])
	if err != nil || project.Services[address.Hostname()].Name == "" {
		t.Errorf("REDIS_URL %s leads to no service", *cache.Environment["REDIS_URL"])
	}
	s := runSite(t, patient(caddyfile), "REDIS_URL="+server.URL())
	ask := func(command []string, status int, has string) {
		t.Helper()
		u := command[len(command)-1]
		s.visit(t, visit{u, "GET " + u, status, has})
		if to, err := url.Parse(u); err != nil || !config.ports[to.Port()] {
			t.Errorf("nobody listens at %s", u)
		}
	}
	ask(cache.HealthCheck.Test, 200, `"ready":true`)
	s.visit(t, visit{"the application writes", "POST " + app.Command[len(app.Command)-1] + "\n\nworld", 201, ""})
	ask(app.Command, 200, "world")
	ask([]string{"http://cache:8080/metrics"}, 200, "caddy_redis_proxy_keys{")
	s.visit(t, visit{"outside, with TLS", "GET https://localhost:8443/cache/hello", 200, "world"})
	own := regexp.MustCompile(`http://127\.0\.0\.1:8080/\w+`).FindString(dockerfile)
	ask([]string{own}, 200, `"live":true`)
	server.Kill()
	ask([]string{own}, 200, `"live":true`) // an outage of Redis replaces no container
}
