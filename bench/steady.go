package main

import (
	"context"
	"fmt"
	"time"
)

// steadyRate is a rate at which requests meet each other rarely, and no core is full.
const steadyRate = 4000

// The rows of CPU time at a steady rate.
const (
	steadyFetch = "CPU time of Caddy a GET from the store, at 4,000 a second"
	steadyPost  = "CPU time of Caddy a POST that evicts, at 4,000 a second"
)

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
	kinds := map[string]func() *paced{
		"hit": func() *paced {
			return startPaced(ctx, sv.addr("local"), pacedLoad{rate: steadyRate, first: 0, request: func(n int) string { return getRequest(rawSmall + n%hitKeys) }})
		},
		steadyFetch: func() *paced {
			return startPaced(ctx, sv.addr("store"), pacedLoad{rate: steadyRate, first: 0, request: func(n int) string { return getRequest(n * 7919 % storeKeys) }})
		},
		steadyPost: func() *paced {
			return startPaced(ctx, sv.addr("capacity"), pacedLoad{rate: steadyRate, first: sv.newKeys(), request: postRequest})
		},
	}
	each := map[string][]float64{}
	for n := range b.options.rounds + 1 {
		progress("round %d of %d: a steady rate", n, b.options.rounds)
		for kind, start := range kinds {
			cpu := exactCPUOf(sv.caddy.Cmd.Process.Pid)
			p := start()
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
			cpu = exactCPUOf(sv.caddy.Cmd.Process.Pid) - cpu
			if n > 0 { // round 0 warms up
				each[kind] = append(each[kind], quotient(float64(cpu.Nanoseconds())/1000, float64(o.done)))
			}
		}
	}
	for _, r := range rows {
		res := result{row: r, notes: []string{fmt.Sprintf("%s: %.1f µs, a local hit %.1f µs.", r.what, median(each[r.what]), median(each["hit"]))}}
		for i, taken := range each[r.what] {
			res.values = append(res.values, taken-each["hit"][i])
		}
		b.results = append(b.results, res)
	}
	return nil
}

func getRequest(number int) string {
	return "GET " + path(number) + " HTTP/1.1\r\nHost: bench\r\n\r\n"
}
