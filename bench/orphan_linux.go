package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill the process when this one ends in a way
// that runs no deferred calls.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
