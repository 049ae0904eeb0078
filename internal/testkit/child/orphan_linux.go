package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the program if this process ends without cleanup,
// as tests do after a panic or a timeout.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
