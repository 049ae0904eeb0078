// Package child runs programs that end when this process ends, if not before.
package child

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// Process is a running program.
type Process struct {
	Cmd    *exec.Cmd
	Output *Output
	Done   <-chan struct{} // closed when the program has ended
}

// Start starts a program, and writes its output to out. The error says that it could not
// be started.
func Start(cmd *exec.Cmd, out *Output) (*Process, error) {
	cmd.Stdout, cmd.Stderr = out, out
	dieWithParent(cmd)

	done := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		defer close(done)
		// For the kernel, the parent of a process is the thread that starts it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState says how it ended
		}
	}()
	return &Process{Cmd: cmd, Output: out, Done: done}, <-started
}

// Signal sends the program a signal, unless it has ended.
func (p *Process) Signal(s os.Signal) { _ = p.Cmd.Process.Signal(s) }

// Kill ends the program like a crash, even if it is stopped, and waits until it has
// ended.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Done
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// Output keeps the output of programs. Its zero value is ready to use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns everything printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Contains reports whether s was printed.
func (o *Output) Contains(s string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.buf.Bytes(), []byte(s))
}
