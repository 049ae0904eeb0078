package main

import (
	"fmt"
	"io"
	"strings"
)

// table compares contenders on rows.
type table struct {
	title      string
	rows       []row
	contenders []*contender
}

// print prints the table as Markdown with aligned columns.
func (t *table) print(w io.Writer, r results) {
	head := []string{"load", "requests", "keys", "capacity"}
	mean := []string{"**mean**", "", "", ""}
	for _, c := range t.contenders {
		head = append(head, c.name)
		mean = append(mean, fmt.Sprintf("**%.3f**", r.mean(t.rows, c)))
	}
	cells := [][]string{head}
	for _, row := range t.rows {
		line := []string{row.trace.name, fmt.Sprint(len(row.trace.requests)), fmt.Sprint(len(row.trace.keys)), fmt.Sprint(row.capacity)}
		for _, c := range t.contenders {
			line = append(line, fmt.Sprintf("%.3f", r[run{row, c}]))
		}
		cells = append(cells, line)
	}
	cells = append(cells, mean)

	widths := make([]int, len(head))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	for n, line := range cells {
		for i, cell := range line {
			if i == 0 {
				fmt.Fprintf(w, "| %-*s ", widths[i], cell)
			} else {
				fmt.Fprintf(w, "| %*s ", widths[i], cell)
			}
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for i, width := range widths {
				if i == 0 {
					fmt.Fprint(w, "|", strings.Repeat("-", width+2))
				} else {
					fmt.Fprint(w, "|", strings.Repeat("-", width+1), ":")
				}
			}
			fmt.Fprintln(w, "|")
		}
	}
}
