package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

// cores are lists of cores, as taskset takes them.
type cores struct {
	all    string // all that this process may use
	server string // for Caddy
	load   string // for wrk, redis-server and this process
}

var (
	allowedList = regexp.MustCompile(`(?m)^Cpus_allowed_list:\s*(\S+)$`)
	firstNumber = regexp.MustCompile(`^\d+`)
	lastNumber  = regexp.MustCompile(`\d+$`)
)

// pin chooses the first core that this process may use for Caddy, and moves this process to
// the last one. Programs that this process starts run there too, unless they get other
// cores.
func pin() (cores, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return cores{}, fmt.Errorf("this needs Linux, for /proc and taskset: %w", err)
	}
	m := allowedList.FindSubmatch(status)
	if m == nil {
		return cores{}, errors.New("/proc/self/status does not say which cores may be used")
	}
	all := string(m[1])
	c := cores{all: all, server: firstNumber.FindString(all), load: lastNumber.FindString(all)}
	if c.server == c.load {
		progress("WARNING: there is only one core; server and load share it, and the results say little")
	}
	out, err := exec.Command("taskset", "-a", "-p", "-c", c.load, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return cores{}, fmt.Errorf("taskset (package util-linux): %w: %s", err, out)
	}
	return c, nil
}

// on starts a program on the given cores.
func on(cores, name string, args, env []string) (*child.Process, error) {
	// taskset becomes the program, with the same process id.
	cmd := exec.Command("taskset", append([]string{"-c", cores, name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return child.Start(cmd, new(child.Output))
}
