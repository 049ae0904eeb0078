// Package redistest starts real Redis servers for tests. Without a redis-server, a test
// that needs one fails; it is never skipped.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

// patience bounds how long a server may take to start; a machine may be busy.
const patience = time.Minute

// errNotInstalled says what to do, since a reader may see only the log of a test.
var errNotInstalled = errors.New("redis-server is not on PATH; install it " +
	"(Debian and Ubuntu: apt-get install redis-server; Fedora: dnf install redis; macOS: brew install redis)")

// Server is a redis-server that only the test uses.
type Server struct {
	// Addr is the host and port that it listens on.
	Addr string
	// Socket is the path of its Unix socket.
	Socket string

	dir  string
	conf string // path of a configuration file, if it needs one
	args []string

	mu      sync.Mutex
	proc    *child.Process // nil while it is down
	clients []*redis.Client

	controlling sync.Once
	control     *redis.Client // one of the clients, for this package
}

// Start starts a server that ends with the test. The args are arguments of redis-server.
// Without them the server keeps nothing on disk.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	// Not t.TempDir: it has the name of the test, and the path of the socket could
	// become longer than the 107 bytes that Linux allows.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })

	s, err := Run(dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Run starts a server with its files in dir, which must have a short path.
// The caller calls Stop.
func Run(dir string, args ...string) (*Server, error) {
	return run(&Server{Socket: filepath.Join(dir, "redis.sock"), dir: dir, args: args})
}

func run(s *Server) (*Server, error) {
	var err error
	for range 5 {
		// The port was free a moment ago, but another process may have taken it.
		var port int
		if port, err = freePort(); err != nil {
			return nil, err
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = s.up(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// URL returns the server's address as a value of the setting store.
func (s *Server) URL() string {
	if s.hasTLS() {
		return "rediss://" + s.Addr + "/0"
	}
	return "redis://" + s.Addr + "/0"
}

// hasTLS reports whether the port of the server speaks TLS.
func (s *Server) hasTLS() bool { return tlsArgs(s.args) != nil }

// Client returns a client with go-redis's defaults. To a server with TLS it leads through
// the socket. Stop closes it.
func (s *Server) Client() *redis.Client {
	options := &redis.Options{Addr: s.Addr}
	if s.hasTLS() {
		options.Network, options.Addr = "unix", s.Socket
	}
	c := redis.NewClient(options)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, c)
	return c
}

// controller returns a client that this package keeps.
func (s *Server) controller() *redis.Client {
	s.controlling.Do(func() { s.control = s.Client() })
	return s.control
}

// Owns reports whether the server says that it is a primary, and in a Cluster that it has
// the slot of key.
func (s *Server) Owns(ctx context.Context, key string) bool {
	role, err := s.controller().Do(ctx, "ROLE").Slice()
	return err == nil && role[0] == "master" && s.controller().Exists(ctx, key).Err() == nil
}

// Pause stops the server's process. Connections stay open, but get no answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume continues a paused server. It then runs the commands that came meanwhile.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Kill ends the server at once, like a crash, and waits until it has ended.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.Kill()
		s.proc = nil
	}
}

// Restart starts the server again on the same port and in the same directory,
// after killing it if it still runs.
func (s *Server) Restart() error {
	s.Kill()
	deadline := time.Now().Add(patience)
	for {
		err := s.up()
		if !errors.Is(err, errPortTaken) || time.Now().After(deadline) {
			return err
		}
	}
}

// Stop kills the server, and closes the clients that Client returned.
func (s *Server) Stop() {
	s.Kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.Close()
	}
	s.clients = nil
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.Signal(sig)
	}
}

// up starts a process, and waits until it serves.
func (s *Server) up() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errNotInstalled
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := []string{"--bind", "127.0.0.1", "--port", port}
	if s.hasTLS() {
		args = []string{"--bind", "127.0.0.1", "--port", "0", "--tls-port", port}
	}
	args = append(args, "--unixsocket", s.Socket, "--dir", s.dir, "--save", "", "--appendonly", "no")
	args = append(args, s.args...) // redis-server takes the last value of a repeated option

	if s.conf != "" {
		args = append([]string{s.conf}, args...) // it must come first
	}
	p, err := child.Start(exec.Command(path, args...), new(child.Output))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := serving(ctx, p, s.Socket); err != nil {
		p.Kill()
		return fmt.Errorf("starting %s: %w; it printed:\n%s", path, err, p.Output.String())
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = p
	return nil
}

// busOffset is how far the port of a cluster node's bus is above its own.
const busOffset = 10000

// freePort returns a port that a node of a cluster can use too.
func freePort() (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port+busOffset < 1<<16 {
			return port, nil
		}
	}
}
