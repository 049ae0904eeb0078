//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing: pin refuses to run elsewhere than on Linux.
func dieWithParent(*exec.Cmd) {}
