package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAChartIsWellFormedAndNamesWhatItShows(t *testing.T) {
	lines := append([]*contender{bound, wTinyLFU}, inMemory(0)...)
	points := append(rows(newTrace("one", []int{1, 2, 1}), []int{1, 10, 100}), rows(newTrace("two", []int{1}), []int{5, 6})...)
	r := results{}
	r.want(points, lines)
	c := chart{"Two loads:", points, lines}
	svg := c.svg(r)

	var texts []string
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, strings.TrimSpace(string(text)))
		}
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"Two loads", "one", "two", "\n1\n", "\n10\n", "\n100\n", "one, from 1 to 100 keys: OPT 0.00 to 0.00, "} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	for i, line := range lines {
		if !strings.Contains(all, "\n"+line.name+"\n") {
			t.Errorf("%s is not in the legend", line.name)
		}
		if l := looks[line.name]; l.light == "" || l.dark == "" || l.marker == "" {
			t.Errorf("%s cannot be seen", line.name)
		}
		for _, other := range lines[:i] {
			if a, b := looks[line.name], looks[other.name]; a.light == b.light || a.dark == b.dark || a.marker == b.marker {
				t.Errorf("%s looks like %s", line.name, other.name)
			}
		}
	}
	if !bytes.Equal(svg, c.svg(r)) {
		t.Error("a second drawing differs")
	}
}

func TestAPointStandsWhereItsHitRatioIs(t *testing.T) {
	x, y := axes(rows(nil, []int{10, 100, 1000}))
	if x(100)-x(10) != x(1000)-x(100) {
		t.Errorf("10, 100 and 1000 are at %v, %v and %v", x(10), x(100), x(1000))
	}
	if y(0) != plotTop+plotHeight || y(1) != plotTop {
		t.Errorf("0 and 1 are at %v and %v", y(0), y(1))
	}
}

func TestASinglePointStandsInTheMiddle(t *testing.T) {
	x, _ := axes(rows(nil, []int{10}))
	if x(10) != plotLeft+plotWidth/2 {
		t.Errorf("it is at %v", x(10))
	}
}
