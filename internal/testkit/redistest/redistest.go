// Package redistest starts real Redis servers for tests. A test that needs
// one fails where there is no redis-server; it is never skipped.
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

// errNotInstalled tells what to do; a test's log may be all that is read.
var errNotInstalled = errors.New("redis-server is not on PATH; install it " +
	"(Debian and Ubuntu: apt-get install redis-server; Fedora: dnf install redis; macOS: brew install redis)")

// Server is a redis-server of our own, reached by nobody else.
type Server struct {
	// Addr is the host and port that it listens on.
	Addr string
	// Socket is the path of its Unix socket.
	Socket string

	dir  string
	args []string

	mu      sync.Mutex
	proc    *child.Process // nil while it is down
	clients []*redis.Client
}

// Start starts a server that ends with the test. It keeps nothing on disk
// unless args, which are those of redis-server, say so.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	// Not t.TempDir: with the name of the test in it, the path of the socket
	// may become longer than the 107 bytes that Linux takes.
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
	s := &Server{Socket: filepath.Join(dir, "redis.sock"), dir: dir, args: args}
	var err error
	for range 5 {
		// The port was free a moment ago; someone may have been faster.
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

// URL returns the server's address as a store in a configuration is written.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Client returns a client with go-redis's defaults. It is closed when the
// server is stopped.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, c)
	return c
}

// Pause stops the server as it is: connections stay open and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on. It then runs what it was sent meanwhile.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Kill ends the server at once, as a crash does, and waits for its end.
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

// Stop kills the server and closes the clients that it gave out.
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

// up starts a process and waits until it serves.
func (s *Server) up() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errNotInstalled
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := append([]string{
		"--bind", "127.0.0.1", "--port", port, "--unixsocket", s.Socket,
		"--dir", s.dir, "--save", "", "--appendonly", "no",
	}, s.args...) // of an option given twice, redis-server takes the last

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

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
