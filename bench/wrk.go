package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

//go:embed lua
var scripts embed.FS

// writeScripts writes the scripts where wrk finds them.
func writeScripts(dir string) error {
	report, err := scripts.ReadFile("lua/report.lua")
	if err != nil {
		return err
	}
	for _, name := range []string{"get.lua", "post.lua", "bulk.lua"} {
		script, err := scripts.ReadFile("lua/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(script, report...), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// outcome is the report of wrk on a run.
type outcome struct {
	requests, badStatus, broken int
	duration, p50, p99          time.Duration
}

// connectionsOf returns the number of connections that load s.
func (b *bench) connectionsOf(s *side) int { return cmp.Or(b.connections, s.connections) }

// wrk loads the site of s. It also returns the CPU time of wrk.
//
// The program wrk takes only whole seconds. An interrupt makes it stop and report, with the
// time that it ran. So this function ends it with an interrupt.
func (b *bench) wrk(ctx context.Context, sv *servers, s *side, d time.Duration) (outcome, time.Duration, error) {
	f := s.requests()
	args := []string{
		"-t1", "-c", strconv.Itoa(b.connectionsOf(s)), "-d", "1h", "--timeout", "10s",
		"-s", filepath.Join(b.dir, s.script), sv.url(s.site), "--",
	}
	switch s.script {
	case "bulk.lua":
		args = append(args, strconv.Itoa(sv.newKeys()), strconv.Itoa(s.lines), s.sent)
	case "post.lua":
		args = append(args, strconv.Itoa(sv.newKeys()), f.write, f.contentType, cmp.Or(s.sent, postBody))
	default:
		args = append(args, strconv.Itoa(s.first), strconv.Itoa(s.keys), f.before, f.after)
	}
	p, err := child.Start(exec.Command("wrk", args...), new(child.Output))
	if err != nil {
		return outcome{}, 0, err
	}
	defer p.Kill()
	select {
	case <-ctx.Done():
		return outcome{}, 0, ctx.Err()
	case <-p.Done:
		return outcome{}, 0, fmt.Errorf("wrk ended: %s", p.Output.String())
	case <-time.After(d):
	}
	p.Signal(syscall.SIGINT)
	select {
	case <-p.Done:
	case <-time.After(10 * time.Second):
		return outcome{}, 0, errors.New("wrk did not end")
	}
	o, err := parseReport(p.Output.String())
	state := p.Cmd.ProcessState
	return o, state.UserTime() + state.SystemTime(), err
}

var reportLine = regexp.MustCompile(`(?m)^report( \d+){8}$`)

// parseReport reads the line that lua/report.lua prints.
func parseReport(output string) (outcome, error) {
	line := reportLine.FindString(output)
	if line == "" {
		return outcome{}, fmt.Errorf("no report in what wrk printed:\n%s", output)
	}
	var n [8]int
	for i, field := range strings.Fields(line)[1:] {
		n[i], _ = strconv.Atoi(field)
	}
	micro := func(i int) time.Duration { return time.Duration(n[i]) * time.Microsecond }
	return outcome{
		requests: n[0], duration: micro(1), p50: micro(2), p99: micro(3),
		badStatus: n[4], broken: n[5] + n[6] + n[7],
	}, nil
}
