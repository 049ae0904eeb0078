package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// engineGet runs the Go benchmark of a local hit in the engine, on one core
// and on two. No server runs at the same time.
func (b *bench) engineGet(ctx context.Context, rows []row) error {
	lines, err := b.goBench(ctx, "./engine", "BenchmarkGetLocalHit", "-test.cpu", "1,2",
		"-test.count", strconv.Itoa(b.options.rounds), "-test.benchtime", (b.duration / 4).String())
	if err != nil {
		return err
	}
	one, two := split(lines, "ns/op")
	scaling := quotients(one, two)
	if len(scaling) == 0 {
		return fmt.Errorf("%d results on one core, %d on two", len(one), len(two))
	}
	allocsOne, allocsTwo := split(lines, "allocs/op")
	allocs := append(allocsOne, allocsTwo...)
	for _, r := range rows {
		res := result{row: r}
		switch {
		case strings.Contains(r.what, "allocations"):
			res.values = allocs
		case strings.Contains(r.what, "two cores"):
			res.values = scaling
			if b.cores.server == b.cores.load {
				res.invalid = "this machine has one core"
			}
		default:
			res.values = one
		}
		b.results = append(b.results, res)
	}
	return nil
}

// localHeap runs the Go benchmark of the memory of the local tier.
func (b *bench) localHeap(ctx context.Context, rows []row) error {
	lines, err := b.goBench(ctx, "./internal/httpapi", "BenchmarkLocalTierHeap", "-test.benchtime", "1x")
	if err != nil {
		return err
	}
	for _, r := range rows {
		res := result{row: r}
		for _, l := range lines {
			// "BenchmarkLocalTierHeap/30B" belongs to the row "… values of 30 B".
			_, size, _ := strings.Cut(l.name, "/")
			if strings.HasSuffix(strings.ReplaceAll(r.what, " ", ""), "of"+strings.TrimRight(size, "-0123456789")) {
				res.values = append(res.values, l.values["heap/limit"])
				res.notes = append(res.notes, fmt.Sprintf("Local tier, values of %s: %s entries of %.0f B.", strings.TrimRight(size, "-0123456789"), thousands(int(l.values["entries"])), l.values["B/entry"]))
			}
		}
		if len(res.values) == 0 {
			res.invalid = "the benchmark has no result"
		}
		b.results = append(b.results, res)
	}
	return nil
}

// farScaling runs the Go benchmarks of requests to a slow store that uses no core, on one core
// and on two. No server runs at the same time.
func (b *bench) farScaling(ctx context.Context, rows []row) error {
	for _, r := range rows {
		name := "BenchmarkFarGet"
		if r.what == farPost {
			name = "BenchmarkFarPost"
		}
		lines, err := b.goBench(ctx, "./internal/httpapi", name, "-test.cpu", "1,2",
			"-test.count", strconv.Itoa(b.options.rounds), "-test.benchtime", (b.duration / 2).String())
		if err != nil {
			return err
		}
		one, two := split(lines, "ns/op")
		res := result{row: r, values: quotients(one, two)}
		oneCPU, twoCPU := split(lines, "cpu-ns/op")
		_, calls := split(lines, "keys/call")
		res.notes = []string{fmt.Sprintf("%s: CPU time a request %.1f µs on one core, %.1f µs on two, where one call to the store has %.0f keys. Both cores are busy if the second figure is twice the time a request, %.1f µs.",
			r.what, median(oneCPU)/1000, median(twoCPU)/1000, median(calls), median(two)/1000)}
		switch {
		case len(res.values) == 0:
			return fmt.Errorf("%d results of %s on one core, %d on two", len(one), name, len(two))
		case b.cores.server == b.cores.load:
			res.invalid = "this machine has one core"
		}
		b.results = append(b.results, res)
	}
	return nil
}

// split returns the values of a benchmark that have a unit, on one core and on two.
func split(lines []benchLine, unit string) (one, two []float64) {
	for _, l := range lines {
		if strings.HasSuffix(l.name, "-2") {
			two = append(two, l.values[unit])
		} else {
			one = append(one, l.values[unit])
		}
	}
	return one, two
}

// quotients divides round by round. It returns none if a round has no partner.
func quotients(a, b []float64) []float64 {
	if len(a) != len(b) {
		return nil
	}
	q := make([]float64, len(a))
	for i := range a {
		q[i] = quotient(a[i], b[i])
	}
	return q
}

// goBench builds the tests of a package and runs one benchmark, on all cores that this
// process may use.
func (b *bench) goBench(ctx context.Context, pkg, name string, args ...string) ([]benchLine, error) {
	progress("Go benchmark %s", name)
	binary := filepath.Join(b.dir, name+".test")
	build := exec.CommandContext(ctx, "taskset", "-c", b.cores.all, "go", "test", "-c", "-o", binary, pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the tests of %s: %w\n%s", pkg, err, out)
	}
	defer os.Remove(binary)
	p, err := on(b.cores.all, binary, append([]string{"-test.run", "^$", "-test.bench", "^" + name + "$"}, args...), nil)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.Done:
	}
	if !p.Cmd.ProcessState.Success() {
		return nil, fmt.Errorf("%s failed:\n%s", name, p.Output.String())
	}
	return parseBench(p.Output.String()), nil
}

// benchLine is a line of a Go benchmark's output, with its values by unit.
type benchLine struct {
	name   string
	values map[string]float64
}

var benchPattern = regexp.MustCompile(`(?m)^(Benchmark\S+)\s+\d+\s+(.+)$`)

func parseBench(output string) []benchLine {
	var lines []benchLine
	for _, m := range benchPattern.FindAllStringSubmatch(output, -1) {
		l := benchLine{name: m[1], values: map[string]float64{}}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			l.values[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64)
		}
		lines = append(lines, l)
	}
	return lines
}
