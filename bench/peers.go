package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

// peer is another program that answers HTTP requests with values in Redis. It has one thread
// for requests, on the core of Caddy.
type peer struct {
	name    string // of the program
	title   string
	form    form
	ownTLS  bool // else Caddy stands in front of it for TLS
	version func(ctx context.Context) string
	// configure returns the configuration, and arguments that give it to the program.
	configure func(path string, at peerPlace) (config string, args []string, err error)

	port, tlsPort int // tlsPort if ownTLS
	program       *child.Process
}

// peerPlace is the surroundings of a peer.
type peerPlace struct {
	redis         string // host and port
	dir           string
	port, tlsPort int
	cert, key     string // files
}

// allPeers returns the peers that the bench knows.
func allPeers() []*peer {
	return []*peer{
		{
			name: "webdis", title: "webdis", configure: webdisConfig,
			form:    form{before: "/GET/", after: ".txt", write: "PUT /SET/", contentType: "text/plain"},
			version: func(ctx context.Context) string { return packaged(ctx, "webdis") },
		},
		{
			name: "nginx", title: "nginx with Lua", configure: nginxConfig, ownTLS: true,
			form: form{before: "/GET/", write: "PUT /SET/", contentType: "text/plain"},
			version: func(ctx context.Context) string {
				return version(ctx, "nginx", `nginx/(\S+)`, "-v") + ", " + packaged(ctx, "lua-nginx-redis")
			},
		},
	}
}

// packaged returns the version of a Debian package.
func packaged(ctx context.Context, name string) string {
	out, _ := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", name).Output()
	return name + " " + cmp.Or(string(out), "unknown")
}

// start starts the peer. If it is not installed, the error says so.
func (p *peer) start(ctx context.Context, b *bench, at peerPlace) error {
	if _, err := exec.LookPath(p.name); err != nil {
		return errors.New("not on PATH")
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	p.port, p.tlsPort = ports[0], ports[1]
	at.port, at.tlsPort = p.port, p.tlsPort
	path := filepath.Join(b.dir, p.name+".conf")
	config, args, err := p.configure(path, at)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return err
	}
	if p.program, err = on(b.cores.server, p.name, args, nil); err != nil {
		return err
	}
	if err := serves(ctx, p.program, p.port); err != nil {
		p.program.Kill()
		return err
	}
	return nil
}

// webdisConfig is Debian's, but for ports, one thread of HTTP, and no log of requests.
func webdisConfig(path string, at peerPlace) (string, []string, error) {
	host, redisPort, err := hostAndPort(at.redis)
	if err != nil {
		return "", nil, err
	}
	config, err := json.Marshal(map[string]any{
		"redis_host": host, "redis_port": redisPort, "http_host": "127.0.0.1", "http_port": at.port,
		"threads": 1, "daemonize": false, "database": 0, "acl": []any{},
		"verbosity": 0, "logfile": filepath.Join(at.dir, "webdis.log"),
	})
	return string(config), []string{path}, err
}

// nginxConfig is a GET and a SET by lua-nginx-redis, with connections kept on both sides.
func nginxConfig(path string, at peerPlace) (string, []string, error) {
	host, redisPort, err := hostAndPort(at.redis)
	if err != nil {
		return "", nil, err
	}
	template, err := scripts.ReadFile("lua/nginx.conf")
	if err != nil {
		return "", nil, err
	}
	return strings.NewReplacer(
		"REDIS_HOST", host, "REDIS_PORT", strconv.Itoa(redisPort), "DIR", at.dir,
		"TLS_PORT", strconv.Itoa(at.tlsPort), "HTTP_PORT", strconv.Itoa(at.port), "CERT", at.cert, "KEY", at.key,
	).Replace(string(template)), []string{"-c", path, "-e", "stderr"}, nil
}

func hostAndPort(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}
