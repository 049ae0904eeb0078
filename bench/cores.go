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

// cores say what runs where, as taskset takes them.
type cores struct {
	all    string // what this process was given
	server string // Caddy's
	load   string // of wrk, redis-server and this process
}

var (
	allowedList = regexp.MustCompile(`(?m)^Cpus_allowed_list:\s*(\S+)$`)
	firstNumber = regexp.MustCompile(`^\d+`)
	lastNumber  = regexp.MustCompile(`\d+$`)
)

// pin gives Caddy the first core that this process may use, and moves this
// process to the last one, where everything that it starts stays as well
// unless it is sent elsewhere.
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
		progress("WARNING: one core only: server and load share it, and the figures say little")
	}
	out, err := exec.Command("taskset", "-a", "-p", "-c", c.load, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return cores{}, fmt.Errorf("taskset (package util-linux): %w: %s", err, out)
	}
	return c, nil
}

// on starts a program on the given cores.
func on(cores, name string, args, env []string) (*child.Process, error) {
	// taskset turns into the program: the process id stays.
	cmd := exec.Command("taskset", append([]string{"-c", cores, name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return child.Start(cmd, new(child.Output))
}
