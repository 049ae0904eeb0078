package redistest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

var errPortTaken = errors.New("its port was taken")

// process is a run of redis-server.
type process struct {
	cmd    *exec.Cmd
	output output
	done   chan struct{} // closed when it has ended
}

// start starts a process. The error is that of starting it, not of what it
// does afterwards.
func start(path string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout = &p.output
	p.cmd.Stderr = &p.output
	dieWithParent(p.cmd)

	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// The kernel takes the thread that starts a process for its parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
		}
	}()
	return p, <-started
}

// kill ends the process, also a stopped one, and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// serving waits until the process answers. It asks over the Unix socket,
// which is certainly the process's own, and which redis-server opens only
// when it has its port.
func (p *process) serving(ctx context.Context, socket string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, socket) {
			return nil
		}
		select {
		case <-p.done:
			if strings.Contains(p.output.String(), "Address already in use") {
				return errPortTaken
			}
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// answers reports whether a server takes commands. One that wants a password
// does; one that loads its data does not yet.
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH"))
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
