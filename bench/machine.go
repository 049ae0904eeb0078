package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// describe prints the machine, the versions and the method of the run.
func (b *bench) describe(ctx context.Context) error {
	info, err := buildinfo.ReadFile(b.caddy)
	if err != nil {
		return fmt.Errorf("%w; `make build` builds it", err)
	}
	caddy := "unknown"
	for _, m := range info.Deps {
		if m.Path == "github.com/caddyserver/caddy/v2" {
			caddy = m.Version
		}
	}
	fmt.Printf("- Machine: %s, %d cores for this run, Linux %s, load average %s at the start\n",
		match("/proc/cpuinfo", `(?m)^model name\s*: (.+)$`), runtime.NumCPU(),
		match("/proc/sys/kernel/osrelease", `(\S+)`), match("/proc/loadavg", `^(\S+)`))
	fmt.Printf("- Versions: Caddy %s built with %s, %s, %s\n", caddy, info.GoVersion,
		version(ctx, "redis-server", `v=(\S+)`, "--version"), version(ctx, "wrk", `^wrk (\S+)`, "-v"))
	fmt.Printf("- Caddy on core %s with GOMAXPROCS=1; wrk (one thread, HTTP/1.1), redis-server and this command on core %s\n",
		b.cores.server, b.cores.load)
	fmt.Printf("- %d rounds of %v for each side, sides in turn; a ratio is taken round by round\n", b.options.rounds, b.duration)
	if b.quick {
		fmt.Printf("- **Quick**: fewer and shorter rounds, and %s keys instead of 1,000,000: good for a first look\n", thousands(b.manyKeys))
	}
	fmt.Println()
	return nil
}

// match returns the text that a pattern captures in a file.
func match(file, pattern string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	return capture(string(text), pattern)
}

func capture(text, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return "unknown"
	}
	return strings.TrimSpace(m[1])
}

func version(ctx context.Context, program, pattern string, args ...string) string {
	out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput() // wrk -v exits with 1
	return program + " " + capture(string(out), pattern)
}
