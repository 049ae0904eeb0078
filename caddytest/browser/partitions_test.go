package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// partitionsOf returns n partitions with up to 625 keys each.
func partitionsOf(n int) []object {
	var all []object
	for i := range n {
		all = append(all, object{
			"partition": i, "ready": true, "writes": true, "cause": "", "error": "", "subscribed": true,
			"keys": 500 + 10*i%100, "max_keys": 625, "bytes": 1 << 20, "max_bytes": 0,
		})
	}
	return all
}

func TestPartitionsAreShown(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#next", "product/0/price")
	if !eval[bool](p, "document.getElementById('partitions-card').hidden") {
		t.Error("partitions are shown of a cache that has one")
	}
	all := partitionsOf(16)
	s.change(func() { s.caches[0]["partitions"] = all })
	p.untilText("#partitions-note", "Each has room for about 625 keys, and evicts by itself. The emptiest has 500 keys, the fullest 590.")
	if n := eval[int](p, "document.querySelectorAll('#partitions-bars rect.fullness').length"); n != 16 {
		t.Errorf("%d bars show how full partitions are", n)
	}
	heights := eval[[]float64](p, "[...document.querySelectorAll('#partitions-bars rect.fullness')].map((r) => r.height.baseVal.value)")
	if want := 48 * 510. / 625; heights[1] < want-0.1 || heights[1] > want+0.1 {
		t.Errorf("510 of 625 keys are a bar of %v, want %v", heights[1], want)
	}
	if got := p.text("#partitions-troubles"); got != "" {
		t.Errorf("troubles are %q", got)
	}
	p.do(clickOn("#partitions-card summary"))
	rows := p.rows("partitions")
	if len(rows) != 16 || rows[3] != "3 | answers, takes writes | 530 of 625 | 84.8 % | 1 MiB" {
		t.Errorf("the table has %q", rows)
	}

	s.change(func() {
		all[3]["ready"], all[3]["writes"], all[3]["keys"], all[3]["bytes"], all[3]["error"] = false, false, nil, nil, hostile
		all[5]["writes"], all[5]["error"] = false, "it is full"
		all[7]["subscribed"] = false
		state := s.caches[0]["store_state"].(object)
		state["reachable"], state["ready"], state["writes"], state["keys"], state["bytes"] = false, false, false, nil, nil
		state["error"] = "partition 3: it was switched off"
	})
	p.untilText("#state", "✕ 1 of 16 partitions fails")
	p.untilText("#banner", "1 of 16 partitions has failed since")
	p.untilText("#banner", "All other reads and writes of their keys get 503. Keys and their order below are from")
	p.untilText("#banner", "(partition 3: it was switched off)")
	want := []string{"Partition 3 does not answer reads: " + hostile, "Partition 5 takes no writes: it is full", "Partition 7 is not subscribed to"}
	if got := eval[[]string](p, "[...document.querySelectorAll('#partitions-troubles li')].map((l) => l.innerText)"); !slices.Equal(got, want) {
		t.Errorf("troubles are %q, want %q", got, want)
	}
	if eval[bool](p, "window.harmed === 1") {
		t.Error("an error was taken for HTML")
	}
	if n := eval[int](p, "document.querySelectorAll('#partitions-bars rect.failing').length"); n != 2 {
		t.Errorf("%d bars show partitions that fail", n)
	}
	if got := eval[string](p, "document.getElementById('partitions-bars').getAttribute('aria-label')"); got != "How full each of 16 partitions is. 2 of them fail." {
		t.Errorf("the bars are said to be: %s", got)
	}
	if got := p.rows("partitions")[3]; got != "3 | does not answer reads | – | – | –" {
		t.Errorf("the table has %q", got)
	}
	if got := p.text("#partitions-note"); !strings.HasSuffix(got, "The keys of some are not known.") {
		t.Errorf("it says %q", got)
	}
}

// A node is subscribed to none before its first request, and a cache may have many partitions.
func TestManyPartitionsFitAndSayNothingNeedless(t *testing.T) {
	s := setUp(t)
	all := partitionsOf(256)
	for _, one := range all {
		one["subscribed"] = false
	}
	s.change(func() { s.caches[0]["partitions"] = all })
	p := open(t, s.url, func(p *page) { p.size(320, 640) })
	p.until("document.querySelectorAll('#partitions-bars rect.fullness').length === 256")
	if got := p.text("#partitions-troubles"); got != "" {
		t.Errorf("troubles are %q", got)
	}
	s.change(func() {
		for i, one := range all[:100] {
			one["ready"], one["error"] = false, fmt.Sprint("down for ", i)
		}
	})
	p.untilText("#partitions-troubles", "and 92 more, in the table")
	eval[bool](p, "document.querySelectorAll('details').forEach((d) => { d.open = true; }) ?? true")
	for _, width := range []int64{320, 390, 768, 1280} {
		p.size(width, 640)
		p.until(fmt.Sprintf("innerWidth === %d", width))
		for _, e := range eval[[]string](p, outside) {
			t.Errorf("at a width of %d there sticks out: %s", width, e)
		}
	}
	for _, theme := range []string{"light", "dark"} {
		p.media("prefers-color-scheme", theme)
		for _, faint := range eval[[]string](p, contrasts) {
			t.Errorf("too faint in the %s theme: %s", theme, faint)
		}
	}
}
