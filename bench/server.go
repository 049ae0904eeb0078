package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// servers are a filled redis-server and a Caddy in front of it.
type servers struct {
	redis    *redistest.Server
	client   *redis.Client
	redisPID int

	caddy *child.Process
	admin int
	sites map[string]site
	peers []*peer

	posted int // the last number that newKeys returned
}

func startServers(ctx context.Context, b *bench, sites []site) (*servers, error) {
	s := &servers{sites: map[string]site{}}
	for _, step := range []func() error{
		func() error { return s.startRedis(ctx, b) },
		func() error { return s.fill(ctx, sites) },
		func() error { return s.startCaddy(ctx, b, sites) },
	} {
		if err := step(); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

func (s *servers) startRedis(ctx context.Context, b *bench) error {
	if err := writeScripts(b.dir); err != nil {
		return err
	}
	var err error
	if s.redis, err = redistest.Run(b.dir); err != nil {
		return err
	}
	s.client = s.redis.Client()
	info, err := s.client.InfoMap(ctx, "server").Result()
	if err != nil {
		return err
	}
	if s.redisPID, err = strconv.Atoi(info["Server"]["process_id"]); err != nil {
		return fmt.Errorf("reading the process id of redis-server: %w", err)
	}
	return nil
}

// fill fills the namespaces of sites.
func (s *servers) fill(ctx context.Context, sites []site) error {
	for _, site := range sites {
		if site.keys > 0 && site.alias == "" {
			if err := fill(ctx, s.redis.URL(), site); err != nil {
				return fmt.Errorf("filling namespace %s: %w", site.name, err)
			}
		}
	}
	return nil
}

func (s *servers) startCaddy(ctx context.Context, b *bench, sites []site) error {
	served := slices.DeleteFunc(slices.Clone(sites), func(s site) bool { return !s.ofCaddy() })
	ports, err := freePorts(len(served) + 1)
	if err != nil {
		return err
	}
	s.admin = ports[len(served)]
	for i := range served {
		served[i].port = ports[i]
	}
	for _, site := range slices.Concat(sites, served) {
		s.sites[site.name] = site
	}
	config := filepath.Join(b.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile(served, s.admin, s.redis.URL())), 0o600); err != nil {
		return err
	}
	s.caddy, err = on(b.cores.server, b.caddy, []string{"run", "--config", config, "--adapter", "caddyfile"},
		[]string{"GOMAXPROCS=1", "XDG_DATA_HOME=" + b.dir, "XDG_CONFIG_HOME=" + b.dir, "HOME=" + b.dir})
	if err != nil {
		return err
	}
	for _, port := range ports {
		if err := serves(ctx, s.caddy, port); err != nil {
			return fmt.Errorf("caddy: %w", err)
		}
	}
	return nil
}

// serves waits until a program listens on port.
func serves(ctx context.Context, p *child.Process, port int) error {
	for deadline := time.Now().Add(20 * time.Second); !listening(port); time.Sleep(20 * time.Millisecond) {
		if p.Ended() || ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("it does not serve on port %d; it printed:\n%s", port, strings.TrimSpace(p.Output.String()))
		}
	}
	return nil
}

// ended returns an error if Caddy has ended.
func (s *servers) ended() error {
	if s.caddy.Ended() {
		return errors.New("caddy ended; it printed:\n" + s.caddy.Output.String())
	}
	return nil
}

func (s *servers) stop() {
	if s.caddy != nil {
		s.caddy.Kill()
	}
	for _, p := range s.peers {
		p.program.Kill()
	}
	if s.redis != nil {
		s.redis.Stop()
	}
}

// cpuOf returns the CPU time of the programs that serve a site.
func (s *servers) cpuOf(name string) time.Duration {
	var sum time.Duration
	site := s.sites[name]
	if site.ofCaddy() {
		sum += cpuOf(s.caddy.Cmd.Process.Pid)
	}
	if site.peer != nil {
		sum += cpuOf(site.peer.program.Cmd.Process.Pid)
	}
	return sum
}

func (s *servers) url(site string) string {
	if s.sites[site].tls != "" {
		return "https://" + s.addr(site)
	}
	return "http://" + s.addr(site)
}

func (s *servers) addr(site string) string {
	return "127.0.0.1:" + strconv.Itoa(s.sites[site].port)
}

// newKeys returns a number. More keys after it are new than any load posts.
func (s *servers) newKeys() int {
	s.posted += 1_000_000_000
	return s.posted
}

// held returns the number of keys in the namespace of a site.
func (s *servers) held(ctx context.Context, site string) (int, error) {
	of := s.sites[site]
	n, err := s.client.HLen(ctx, "{"+of.namespace()+"}:values").Result()
	return int(n), err
}

// freePorts returns ports on which nobody listened a moment ago.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are chosen
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func listening(port int) bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
