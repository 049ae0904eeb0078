package docs

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long a command may hang. No result depends on it.
const patience = 5 * time.Minute

// shell is a bash in a directory of its own. A test types a page's commands into it, one after
// another.
type shell struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *os.File
	lines  chan string // its output; closed at its end
	ports  *ports
}

// setup is typed before a page's commands. The Makefile is that of the checkout, but it must
// not build: the test uses the binary that is there. Long commands need a reason.
const setup = `shopt -s expand_aliases
make() {
	case $1 in
	app | stop) command make -s -C "$CHECKOUT" -o caddy "$1" ;;
	*) echo "not here: give the block needs=build" && return 2 ;;
	esac
}
# An answer that a page does not show must not be an error.
curl() {
	[ -n "$unshown" ] || { command curl "$@"; return; }
	command curl --fail-with-body "$@" || { local code=$?; echo "curl: exit code $code" >> "$HOME/curl-failed"; return $code; }
}`

// end is typed after every command. It prints the exit status, which also shows that the
// command has ended.
const end = "\x01"

func newShell(t *testing.T, p *ports) *shell {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	builtCaddy(t)
	// Not t.TempDir: sockets have short paths.
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for from, to := range map[string]string{"caddy": "caddy", "Caddyfile.example": "Caddyfile.example", "Caddyfile.production": "Caddyfile.production"} {
		if err := os.Symlink(filepath.Join(checkout, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	example, err := os.ReadFile(filepath.Join(checkout, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "example")
	if err := os.WriteFile(config, []byte(p.replace(string(example))), 0o600); err != nil {
		t.Fatal(err)
	}

	s := &shell{t: t, dir: dir, lines: make(chan string, 100), ports: p}
	s.cmd = exec.Command("bash", "--noprofile", "--norc")
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(),
		"CHECKOUT="+checkout, "HOME="+dir, "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"),
		"XDG_DATA_HOME="+dir+"/data", "XDG_CONFIG_HOME="+dir+"/config",
		"APP_CONFIG="+config, "APP_RUN="+dir+"/.run",
		p.replace("APP_URL=https://localhost:8443"), p.replace("APP_LISTEN=:8443 :8080 127.0.0.1:2020"), p.replace("CADDY_ADMIN=localhost:2019"),
		"no_proxy=*", "NO_PROXY=*", "REDIS_URL=")
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe: it stays open while programs that a page starts in the background run.
	output, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = write, write
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = s.cmd.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	s.output = output
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			s.lines <- strings.TrimRight(scanner.Text(), "\r")
		}
	}()
	t.Cleanup(s.close)
	s.run(setup)
	return s
}

// builtCaddy returns the path of the binary to test.
func builtCaddy(t *testing.T) string {
	t.Helper()
	binary, err := filepath.Abs(filepath.Join(root, "caddy"))
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		t.Fatalf("no caddy to test; run make build: %v", err)
	}
	return binary
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	value, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

// run types a command, and returns its output and its exit status.
func (s *shell) run(command string) (printed []string, status int) {
	s.t.Helper()
	// A program in the background must not read the shell's input.
	fmt.Fprintf(s.input, "%s\nprintf '\\n%s%%d\\n' $?\n", command, `\001`)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the shell ended during: %s\n%s", command, strings.Join(printed, "\n"))
			}
			code, isEnd := strings.CutPrefix(line, end)
			if !isEnd {
				printed = append(printed, line)
				continue
			}
			status, _ = strconv.Atoi(code)
			// The end is a line of its own. The line before may be empty.
			if n := len(printed); n > 0 && printed[n-1] == "" {
				printed = printed[:n-1]
			}
			return printed, status
		case <-timeout.C:
			s.t.Fatalf("waited %s in vain for: %s\n%s", patience, command, strings.Join(printed, "\n"))
		}
	}
}

// runUnshown is run for a command without output on the page. It fails if any curl in the
// command fails.
func (s *shell) runUnshown(command string) (printed []string, status int) {
	s.t.Helper()
	s.run("unshown=1")
	printed, status = s.run(command)
	s.run("unshown=")
	if failed, err := os.ReadFile(filepath.Join(s.dir, "curl-failed")); err == nil {
		return append(printed, strings.TrimSpace(string(failed))), max(status, 1)
	}
	return printed, status
}

// runUntil runs a command that does not end by itself. Once the command has printed the
// expected output, runUntil interrupts it and returns the output.
func (s *shell) runUntil(command string, said []string) []string {
	s.t.Helper()
	output := filepath.Join(s.dir, "endless")
	s.run(command + " > endless 2>&1 & endless=$!")
	defer s.run("kill $endless; wait $endless 2>/dev/null")
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(output)
		if err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
		printed := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if matches(printed, said) {
			return printed
		}
		select {
		case <-tick.C:
		case <-deadline:
			return printed
		}
	}
}

// close ends programs that a failed page has left running.
func (s *shell) close() {
	leave := "exec >/dev/null 2>&1; caddy stop; ./caddy stop; for admin in 2029 2030; do ./caddy stop --address localhost:$admin; done; for port in 6379 6380 6390; do redis-cli -p $port shutdown nosave; done; " +
		"redis-cli --tls --insecure --cert cache.pem --key cache.key -p 6380 shutdown nosave; exit"
	fmt.Fprintln(s.input, s.ports.replace(leave))
	_ = s.input.Close()
	hung := time.AfterFunc(patience, func() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	_ = s.cmd.Wait()
	hung.Stop()
	s.output.Close()
	for range s.lines { // until its reader has ended
	}
}

// ports replaces the ports on the pages with free ones. So several pages can run at once, and
// beside other programs.
type ports struct{ numbers map[string]string }

var pagePort = regexp.MustCompile(`\b(8443|8444|8080|8081|6379|6380|6390|2019|2020|2029|2030)\b`)

// nextPort is below the ports that the system uses for outgoing connections. There are many
// of those, and a free port must still be free when a page starts the program that listens on
// it.
var nextPort = func() func() int {
	var next atomic.Int32
	next.Store(10_000 + rand.Int32N(10_000))
	return func() int { return int(next.Add(1)) }
}()

func newPorts(t *testing.T) *ports {
	t.Helper()
	p := &ports{make(map[string]string)}
	for _, number := range []string{"8443", "8444", "8080", "8081", "6379", "6380", "6390", "2019", "2020", "2029", "2030"} {
		for p.numbers[number] == "" {
			port := strconv.Itoa(nextPort())
			if l, err := net.Listen("tcp", ":"+port); err == nil {
				l.Close()
				p.numbers[number] = port
			}
		}
	}
	return p
}

func (p *ports) replace(s string) string {
	return pagePort.ReplaceAllStringFunc(s, func(number string) string { return p.numbers[number] })
}
