package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// detail is a side with the samples of its rounds.
type detail struct {
	side    *side
	samples []sample
}

// print prints the tables.
func (b *bench) print(took time.Duration) {
	table := [][]string{{"measured", "beside", "median", "min", "max", "rounds", "target", ""}}
	for _, r := range b.results {
		table = append(table, r.cells())
	}
	if len(b.results) > 0 {
		printTable(table)
	}
	b.printNotes()

	if len(b.details) > 0 {
		fmt.Print("\nMedians of the rounds. CPU time is user and system time of the Caddy process; the\n" +
			"last four columns are shares of one core. The server was the bottleneck where its\n" +
			"core is full and the load core, with wrk, Redis and the bench itself on it, is not.\n\n")
		table = [][]string{{"load", "connections", "requests/s", "min – max", "p50", "p99", "CPU a request", "server", "wrk", "Redis", "load core"}}
		for _, d := range b.details {
			table = append(table, d.cells(b.connectionsOf(d.side)))
		}
		printTable(table)
	}
	b.printPeers()
	fmt.Printf("\nMeasured in %v.\n", took.Round(time.Second))
}

// printNotes prints the notes of all rows. A note that several rows share comes once.
func (b *bench) printNotes() {
	var notes []string
	for _, r := range b.results {
		if r.invalid != "" {
			notes = append(notes, "**INVALID**: "+r.invalid)
		}
		notes = append(notes, r.notes...)
	}
	var under []string
	for _, d := range b.details {
		if disturbed(d.samples) {
			under = append(under, fmt.Sprintf("%s (%.0f %%)", d.side.name, 100*median(each(d.samples, sample.serverShare))))
		}
	}
	if len(under) > 0 {
		notes = append(notes, "The server did not get the whole of its core, nor was the load core full, under: "+strings.Join(under, "; ")+
			". Requests waited for each other, or something else ran on this machine.")
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Println()
		}
		if slices.Index(notes, note) == i {
			fmt.Println("-", note)
		}
	}
}

func (r *result) cells() []string {
	cells := []string{r.what, r.beside, "–", "–", "–", fmt.Sprint(len(r.values)), r.target.String(), r.verdict()}
	if len(r.values) > 0 {
		for i, v := range []float64{median(r.values), slices.Min(r.values), slices.Max(r.values)} {
			cells[2+i] = r.show(v)
		}
	}
	return cells
}

func (d *detail) cells(connections int) []string {
	of := func(f func(sample) float64) float64 { return median(each(d.samples, f)) }
	share := func(f func(sample) time.Duration) string {
		return fmt.Sprintf("%.0f %%", 100*of(func(s sample) float64 { return s.share(f(s)) }))
	}
	rates := each(d.samples, sample.rate)
	cpu := fmt.Sprintf("%.1f µs", of(sample.cpu))
	if d.side.posts > 0 {
		cpu = "–" // it has that of the POSTs too
	}
	return []string{
		d.side.name,
		strconv.Itoa(connections),
		fmt.Sprintf("%.0f", median(rates)),
		fmt.Sprintf("%.0f – %.0f", slices.Min(rates), slices.Max(rates)),
		fmt.Sprintf("%.2f ms", of(func(s sample) float64 { return s.p50.Seconds() * 1000 })),
		fmt.Sprintf("%.2f ms", of(func(s sample) float64 { return s.p99.Seconds() * 1000 })),
		cpu,
		share(func(s sample) time.Duration { return s.server }),
		share(func(s sample) time.Duration { return s.wrk }),
		share(func(s sample) time.Duration { return s.redis }),
		fmt.Sprintf("%.0f %%", 100*of(sample.loadShare)),
	}
}

// printTable prints a Markdown table with aligned columns.
func printTable(table [][]string) {
	widths := make([]int, len(table[0]))
	for _, cells := range table {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for n, cells := range table {
		for i, c := range cells {
			fmt.Print("| ", c, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)), " ")
		}
		fmt.Println("|")
		if n == 0 {
			for _, w := range widths {
				fmt.Print("|", strings.Repeat("-", w+2))
			}
			fmt.Println("|")
		}
	}
}
