//go:build !linux

package child

import "os/exec"

// dieWithParent does nothing: only Linux can kill a program when its parent ends.
func dieWithParent(*exec.Cmd) {}
