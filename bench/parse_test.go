package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheReportOfWrkIsRead(t *testing.T) {
	got, err := parseReport("Running 1h test @ http://127.0.0.1:1/\n\nreport 5291 599934 328 5947 7 1 2 3\n")
	want := outcome{
		requests: 5291, duration: 599934 * time.Microsecond, p50: 328 * time.Microsecond, p99: 5947 * time.Microsecond,
		badStatus: 7, broken: 6,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseReport("unable to connect"); err == nil {
		t.Error("no error without a report")
	}
}

func TestLinesOfGoBenchmarksAreRead(t *testing.T) {
	lines := parseBench("goos: linux\nBenchmarkGetLocalHit-2   \t 3000000\t        41.5 ns/op\t       0 B/op\t       1 allocs/op\nPASS\n" +
		"BenchmarkLocalTierHeap/30B 1 99 ns/op 508.0 B/entry 1.25 heap/limit\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	if l := lines[0]; l.name != "BenchmarkGetLocalHit-2" || l.values["ns/op"] != 41.5 || l.values["allocs/op"] != 1 {
		t.Errorf("first line: %+v", l)
	}
	if l := lines[1]; l.name != "BenchmarkLocalTierHeap/30B" || l.values["heap/limit"] != 1.25 {
		t.Errorf("second line: %+v", l)
	}
}

func TestMedianAndPercentile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for p, want := range map[int]time.Duration{1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %d of 1 to 100: %d", p, got)
		}
	}
}

func TestRowsAreComparedRoundByRound(t *testing.T) {
	work, base := &side{name: "work"}, &side{name: "base"}
	round := func(requests, badStatus int) sample {
		return sample{
			outcome: outcome{requests: requests, badStatus: badStatus, duration: time.Second},
			wall:    time.Second, server: time.Second,
		}
	}
	samples := map[*side][]sample{
		base: {round(100, 0), round(10, 0), round(100, 0)},
		work: {round(120, 0), round(13, 0), round(90, 0)},
	}
	r := compare(row{work: work, base: base, metric: sample.rate, target: atLeast(1.2), unit: ratio}, samples, nil)
	if got := median(r.values); got != 1.2 || r.verdict() != "ok" {
		t.Errorf("median %v of %v, %s", got, r.values, r.verdict())
	}
	if disturbed(samples[work]) || loadFull(samples[work]) {
		t.Error("a full server with an idle load core is the normal case")
	}
	if why := failures([]sample{round(100, 0), round(100, 1)}); why == "" {
		t.Error("an answer that is an error does not matter")
	}
	silent := map[*side][]sample{base: {{}}, work: {{}}}
	r = compare(row{work: work, base: base, metric: sample.rate, target: atLeast(1.2), unit: ratio}, silent, nil)
	d := detail{base, silent[base]}
	if got := fmt.Sprint(r.cells(), d.cells(1)); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Errorf("without an answer: %s", got)
	}
	if why := failures([]sample{round(0, 0)}); why == "" {
		t.Error("a round without an answer does not matter")
	}
}

func TestTheLastErrorsOfALogAreFound(t *testing.T) {
	log := ""
	for _, line := range []string{"a", "b", "c", "d"} {
		log += `{"level":"error","msg":"` + line + "\"}\n" + `{"level":"warn","msg":"error"}` + "\n"
	}
	got := strings.Join(lastErrors(log), " ")
	if want := `{"level":"error","msg":"b"} {"level":"error","msg":"c"} {"level":"error","msg":"d"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := lastErrors("nothing\n"); len(got) != 0 {
		t.Error(got)
	}
}
