package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process when this one ends
// without running its cleanups, as tests do on a panic or a timeout.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
