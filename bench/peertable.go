package main

import (
	"cmp"
	"fmt"
	"time"
)

// printPeers prints the table of peers.
func (b *bench) printPeers() {
	if len(b.peerLines) > 0 {
		fmt.Printf("\nBeside peers, %d connections; medians of the rounds (%d). CPU a request is that of all\n"+
			"programs that answer, so of Caddy and webdis together where Caddy adds the TLS. *Rate* is\n"+
			"this module's requests/s, as a multiple of the peer's. *CPU* is the same of the CPU time\n"+
			"with Redis's. wrk, Redis and the bench itself share the load core.\n\n"+
			"This module raises the rank of each key that it reads, evicts a key for each that it\n"+
			"writes, and never overwrites one. The peers send a GET or a SET for each request:\n"+
			"no rank, no bound, no eviction, and a SET overwrites.\n\n",
			cmp.Or(b.connections, hitConnections), peerRounds(b.options.rounds))
		table := [][]string{{
			"request", "program", "requests/s", "p50", "p99", "CPU a request", "of Redis",
			"rate", "CPU", "server core", "load core",
		}}
		for _, l := range b.peerLines {
			table = append(table, l.cells())
		}
		printTable(table)
	}
	var notes []string
	for _, l := range b.peerLines {
		if l.invalid != "" {
			notes = append(notes, fmt.Sprintf("%s, %s: %s", l.what, l.program, l.invalid))
		}
	}
	for i, note := range append(notes, b.peerNotes...) {
		if i == 0 {
			fmt.Println()
		}
		fmt.Println("-", note)
	}
}

func (l *peerLine) cells() []string {
	of := func(f func(sample) float64) float64 { return median(each(l.samples, f)) }
	milli := func(f func(sample) time.Duration) string {
		d := of(func(s sample) float64 { return f(s).Seconds() * 1000 })
		if d == 0 {
			return "–" // at a steady rate it is not measured
		}
		return fmt.Sprintf("%.2f ms", d)
	}
	times := func(values []float64) string {
		if values == nil {
			return "–"
		}
		return fmt.Sprintf("%.2f ×", median(values))
	}
	program := l.program
	if l.invalid != "" && (l.rate == nil || !fewFailed(l.samples)) {
		program += ", **INVALID**"
	}
	return []string{
		l.what, program,
		fmt.Sprintf("%.0f", of(sample.rate)),
		milli(func(s sample) time.Duration { return s.p50 }),
		milli(func(s sample) time.Duration { return s.p99 }),
		fmt.Sprintf("%.1f µs", of(sample.cpu)),
		fmt.Sprintf("%.1f µs", of(sample.redisCPU)),
		times(l.rate), times(l.cpu),
		fmt.Sprintf("%.0f %%", 100*of(sample.serverShare)),
		fmt.Sprintf("%.0f %%", 100*of(sample.loadShare)),
	}
}

// fewFailed reports whether some requests failed, but fewer than one in 1,000. The figures of a
// peer then stand, with a note: it is not for this bench to make the peer faultless.
func fewFailed(samples []sample) bool {
	failed, requests := 0, 0
	for _, s := range samples {
		failed += s.badStatus + s.broken
		requests += s.requests
	}
	return failed > 0 && failed*1000 < requests
}
