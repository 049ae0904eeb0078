package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// chart draws hit ratios over capacities: a panel for each trace, a line for each contender.
type chart struct {
	title string
	rows  []row // those of a trace stand together
	lines []*contender
}

// The measures of a chart, in its own units.
const (
	across      = 3 // panels side by side
	panelWidth  = 290
	panelHeight = 230
	plotLeft    = 44 // within a panel
	plotTop     = 34
	plotWidth   = 232
	plotHeight  = 150
	legendStep  = 27
)

// look makes a line different from the others, not only by colour. The colours are near
// those of Okabe and Ito, which most people can tell apart.
type look struct {
	light, dark string // colours
	dashes      string
	marker      string // a path around 0,0
	note        string
}

const (
	circle   = "M-3.4,0a3.4,3.4 0 1,0 6.8,0a3.4,3.4 0 1,0 -6.8,0z"
	square   = "M-3,-3h6v6h-6z"
	diamond  = "M0,-4.4L4.4,0L0,4.4L-4.4,0z"
	triangle = "M0,-4.2L4,3L-4,3z"
	cross    = "M-3.4,-3.4L3.4,3.4M-3.4,3.4L3.4,-3.4"
)

var looks = map[string]look{
	bound.name:    {light: "#6b6b6b", dark: "#a8a8a8", dashes: "6 4", marker: cross, note: "the most there is"},
	wTinyLFU.name: {light: "#007a5a", dark: "#2fc79a", dashes: "2 3", marker: triangle, note: "otter, to compare"},
	"rank":        {light: "#a8497f", dark: "#e79bc6", marker: square, note: "most often read stay"},
	"lru":         {light: "#0072b2", dark: "#56b4e9", marker: diamond, note: "last read stay"},
	"adaptive":    {light: "#c24e00", dark: "#ff9440", marker: circle, note: "finds out by itself"},
}

// svg returns the chart as an SVG file. Equal results give equal files.
func (c *chart) svg(r results) []byte {
	panels := c.panels()
	places := len(panels) + 1 // one for the legend
	width := across * panelWidth
	height := (places + across - 1) / across * panelHeight

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">`+"\n", width, height)
	fmt.Fprintf(&b, "<title id=\"title\">Hit ratio over capacity. %s</title>\n", strings.TrimSuffix(c.title, ":"))
	fmt.Fprintf(&b, "<desc id=\"desc\">%s</desc>\n", c.describe(panels, r))
	c.style(&b)
	fmt.Fprintf(&b, "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", width, height)
	for n, panel := range panels {
		fmt.Fprintf(&b, "<g transform=\"translate(%d,%d)\">\n", n%across*panelWidth, n/across*panelHeight)
		c.panel(&b, panel, r)
		b.WriteString("</g>\n")
	}
	n := len(panels)
	fmt.Fprintf(&b, "<g transform=\"translate(%d,%d)\">\n", n%across*panelWidth, n/across*panelHeight)
	c.legend(&b)
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// panels splits the rows by trace.
func (c *chart) panels() [][]row {
	var all [][]row
	for i, row := range c.rows {
		if i == 0 || row.trace != c.rows[i-1].trace {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], row)
	}
	return all
}

// describe describes the chart in words, for readers who cannot see it.
func (c *chart) describe(panels [][]row, r results) string {
	var b strings.Builder
	b.WriteString("One panel a load; hit ratio from 0 to 1 over the capacity in keys, on a logarithmic axis.")
	for _, panel := range panels {
		first, last := panel[0], panel[len(panel)-1]
		fmt.Fprintf(&b, " %s, from %d to %d keys:", first.trace.name, first.capacity, last.capacity)
		for i, line := range c.lines {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %s %.2f to %.2f", line.name, r[run{first, line}], r[run{last, line}])
		}
		b.WriteByte('.')
	}
	return b.String()
}

func (c *chart) style(b *bytes.Buffer) {
	b.WriteString("<style>\n" +
		"text{font:12px system-ui,sans-serif;fill:#1f2328}.name{font-size:14px;font-weight:600}.soft{fill:#59636e}\n" +
		".page{fill:#fff}.grid{stroke:#d1d9e0;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}.main{stroke-width:3}\n")
	for i, line := range c.lines {
		l := looks[line.name]
		fmt.Fprintf(b, ".s%d{stroke:%s}.m%[1]d{fill:%[2]s}\n", i, l.light)
	}
	b.WriteString("@media(prefers-color-scheme:dark){\ntext{fill:#f0f6fc}.soft{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#3d444d}\n")
	for i, line := range c.lines {
		l := looks[line.name]
		fmt.Fprintf(b, ".s%d{stroke:%s}.m%[1]d{fill:%[2]s}\n", i, l.dark)
	}
	b.WriteString("}\n</style>\n")
}

func (c *chart) panel(b *bytes.Buffer, panel []row, r results) {
	x, y := axes(panel)
	fmt.Fprintf(b, "<text class=\"name\" x=\"%d\" y=\"20\">%s</text>\n", plotLeft, panel[0].trace.name)
	for _, ratio := range []float64{0, 0.25, 0.5, 0.75, 1} {
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%d,%.1fh%d\"/>", plotLeft, y(ratio), plotWidth)
		fmt.Fprintf(b, "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", plotLeft-6, y(ratio)+4, ratio)
	}
	labelled := math.Inf(-1)
	for _, row := range panel {
		at := x(row.capacity)
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%.1f,%dv4\"/>", at, plotTop+plotHeight)
		if at-labelled < 28 {
			b.WriteByte('\n')
			continue // two labels would overlap
		}
		labelled = at
		fmt.Fprintf(b, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", at, plotTop+plotHeight+18, row.capacity)
	}
	for i, line := range c.lines {
		l := looks[line.name]
		var path, markers strings.Builder
		for n, row := range panel {
			px, py := x(row.capacity), y(r[run{row, line}])
			command := byte('L')
			if n == 0 {
				command = 'M'
			}
			fmt.Fprintf(&path, "%c%.1f,%.1f", command, px, py)
			fmt.Fprintf(&markers, "<path class=\"m%d s%[1]d\" d=\"%s\" transform=\"translate(%.1f,%.1f)\"/>", i, l.marker, px, py)
		}
		c.stroke(b, i, path.String())
		b.WriteString(markers.String() + "\n")
	}
}

// axes returns functions for the places of a capacity and of a hit ratio in a panel.
func axes(panel []row) (x func(int) float64, y func(float64) float64) {
	first := math.Log2(float64(panel[0].capacity))
	last := math.Log2(float64(panel[len(panel)-1].capacity))
	x = func(capacity int) float64 {
		if first == last {
			return plotLeft + plotWidth/2 // there is one point only
		}
		return plotLeft + 10 + (math.Log2(float64(capacity))-first)/(last-first)*(plotWidth-20)
	}
	y = func(ratio float64) float64 { return plotTop + plotHeight*(1-ratio) }
	return x, y
}

func (c *chart) stroke(b *bytes.Buffer, i int, path string) {
	l := looks[c.lines[i].name]
	dashes := ""
	if l.dashes != "" {
		dashes = fmt.Sprintf(" stroke-dasharray=%q", l.dashes)
	}
	class := fmt.Sprintf("line s%d", i)
	if c.lines[i].name == "adaptive" {
		class += " main"
	}
	fmt.Fprintf(b, "<path class=%q d=%q%s/>\n", class, path, dashes)
}

func (c *chart) legend(b *bytes.Buffer) {
	y := plotTop + 8
	for i, line := range c.lines {
		l := looks[line.name]
		c.stroke(b, i, fmt.Sprintf("M%d,%dh40", plotLeft, y))
		fmt.Fprintf(b, "<path class=\"m%d s%[1]d\" d=\"%s\" transform=\"translate(%d,%d)\"/>", i, l.marker, plotLeft+20, y)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s <tspan class=\"soft\">%s</tspan></text>\n", plotLeft+50, y+4, line.name, l.note)
		y += legendStep
	}
	fmt.Fprintf(b, "<text class=\"soft\" x=\"%d\" y=\"%d\">up: hit ratio; right: capacity in keys</text>\n", plotLeft, y+8)
}
