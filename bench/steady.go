package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

// steadyRate is a rate at which requests meet each other rarely, and no core is full.
const steadyRate = 4000

// The rows of CPU time at a steady rate.
const (
	steadyFetch = "CPU time of Caddy a GET from the store, at 4,000 a second"
	steadyPost  = "CPU time of Caddy a POST that evicts, at 4,000 a second"
)

// roundTrip is the name of the note on what a round trip costs any Go server.
const roundTrip = "CPU time of a plain Go server a PING to Redis, at 4,000 a second"

// steady measures how much more CPU time of Caddy a request needs than a local hit, at
// a steady rate. The kinds of requests take turns.
func (b *bench) steady(ctx context.Context, rows []row) error {
	sv, err := b.start(ctx)
	if err != nil {
		return err
	}
	hits := &side{site: "local", keys: hitKeys, first: rawSmall, status: localHit}
	if err := hits.warm(ctx, sv); err != nil {
		return err
	}
	plain, addr, err := b.startRoundTrips(ctx, sv)
	if err != nil {
		return err
	}
	defer plain.Kill()
	ask := func(path string) func(int) string {
		return func(int) string { return "GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n" }
	}
	kinds := []struct {
		name string
		pid  int
		addr string
		load pacedLoad
	}{
		{"hit", sv.caddy.Cmd.Process.Pid, sv.addr("local"), pacedLoad{request: func(n int) string { return ourForm.get(rawSmall + n%hitKeys) }}},
		{steadyFetch, sv.caddy.Cmd.Process.Pid, sv.addr("store"), pacedLoad{request: func(n int) string { return ourForm.get(n * 7919 % storeKeys) }}},
		{steadyPost, sv.caddy.Cmd.Process.Pid, sv.addr("capacity"), pacedLoad{request: postRequest}},
		{"plain", plain.Cmd.Process.Pid, addr, pacedLoad{request: ask("/")}},
		{roundTrip, plain.Cmd.Process.Pid, addr, pacedLoad{request: ask("/ask")}},
	}
	each := map[string][]float64{}
	for n := range b.options.rounds + 1 {
		progress("round %d of %d: a steady rate", n, b.options.rounds)
		for _, k := range kinds {
			k.load.rate = steadyRate
			if k.name == steadyPost {
				k.load.first = sv.newKeys()
			}
			cpu := cpuOf(k.pid)
			p := startPaced(ctx, k.addr, k.load)
			select {
			case <-ctx.Done():
			case <-time.After(b.duration):
			}
			o := p.stop()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if o.failed > 0 {
				return fmt.Errorf("%d requests failed", o.failed)
			}
			cpu = cpuOf(k.pid) - cpu
			if n > 0 { // round 0 warms up
				each[k.name] = append(each[k.name], quotient(float64(cpu.Nanoseconds())/1000, float64(o.done)))
			}
		}
	}
	for _, r := range rows {
		res := result{row: r, notes: []string{fmt.Sprintf("%s: %.1f µs, a local hit %.1f µs.", r.what, median(each[r.what]), median(each["hit"]))}}
		for i, taken := range each[r.what] {
			res.values = append(res.values, taken-each["hit"][i])
		}
		if r.what == steadyFetch {
			res.notes = append(res.notes, fmt.Sprintf("%s: %.1f µs, without the PING %.1f µs.", roundTrip, median(each[roundTrip]), median(each["plain"])))
		}
		b.results = append(b.results, res)
	}
	return nil
}

// startRoundTrips builds and starts the server of the roundtrip directory, on the core of
// Caddy.
func (b *bench) startRoundTrips(ctx context.Context, sv *servers) (*child.Process, string, error) {
	binary := filepath.Join(b.dir, "roundtrip")
	build := exec.CommandContext(ctx, "taskset", "-c", b.cores.all, "go", "-C", "bench", "build", "-o", binary, "./roundtrip")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building the server of round trips: %w\n%s", err, out)
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	addr := "127.0.0.1:" + strconv.Itoa(ports[0])
	p, err := on(b.cores.server, binary, []string{addr, sv.redis.Addr}, []string{"GOMAXPROCS=1"})
	if err != nil {
		return nil, "", err
	}
	if err := serves(ctx, p, ports[0]); err != nil {
		p.Kill()
		return nil, "", fmt.Errorf("the server of round trips: %w", err)
	}
	return p, addr, nil
}
