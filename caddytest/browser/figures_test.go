package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFiguresAreThoseOfTheServer(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#next", "product/0/price")
	for selector, want := range map[string]string{
		"#state":        "● Redis answers ● Subscribed to changes ● 2 nodes subscribed ○ Eviction: rank",
		"#store":        "cache in redis://app:xxxxx@redis.test:6379/0",
		"#ratio":        "90.0 %",
		"#ratio-note":   "of 10,800 GETs in 10 min; 95.0 % since start",
		"#latency":      "p50 510 µs p99 55.0 ms",
		"#keys":         "9,000 of 10,000",
		"#keys-note":    "90.0 % full; 3 MiB; 600 evicted",
		"#queue":        "3 jobs",
		"#queue-note":   "2 KiB waiting; room for 4,096; p99 wait 55.0 ms",
		"#batch":        "2.50 keys 2.50 writes",
		"#build":        "redis_proxy 1.2.3 (1a2b3c4d5e6f), layout 4, events 5, in Caddy v2.0.0",
		"#nodes-note":   "This node learns of other nodes' writes at once.",
		"#chart-ratio":  "Hit ratio Found 90.0 % Found locally 70.0 %",
		"#chart-gets":   "GETs per second Local 14/s Store 4.0/s Absent 2.0/s Stale 0/s",
		"#chart-writes": "Writes per second Writes 5.0/s Evicted 1.0/s Failed requests 0/s",
	} {
		if got := p.text(selector); !strings.HasPrefix(got, want) {
			t.Errorf("%s says %q, want %q", selector, got, want)
		}
	}
	for id, want := range map[string][]string{
		"answers": {"Local | 7,560 | 70.0 % | 8,000", "Store | 2,160 | 20.0 % | 1,500", "Absent | 1,080 | 10.0 % | 500", "Stale | 0 | 0 % | 0"},
		"nodes":   {"edge-1:71 this node | 1 h 1 min", "edge-2:72 | 59 s"},
	} {
		if got := p.rows(id); !slices.Equal(got, want) {
			t.Errorf("the table %s says %q, want %q", id, got, want)
		}
	}
	next := p.rows("next")
	if len(next) != 10 || next[0] != "product/0/price json | 0 | 900 | 120 B" || next[4] != "product/4/price json | 1 | 896 | 4.12 KiB" {
		t.Errorf("evicted next are %q", next)
	}
	if valued := p.rows("valued"); len(valued) != 10 || !strings.HasPrefix(valued[0], "product/11/price json | 2 | 889") {
		t.Errorf("most valued are %q", valued)
	}
	if evictions := p.rows("evictions"); len(evictions) != 2 || !strings.HasPrefix(evictions[0], "left/2<img") {
		t.Errorf("the last evictions are %q", evictions)
	}
	if eval[bool](p, "window.harmed === 1 || document.querySelector('main img, main script') !== null") {
		t.Error("a key was taken for HTML")
	}

	p.do(clickOn("#next-more"))
	p.until("document.getElementById('next').tBodies[0].rows.length === 12")
}

// TestRatesAreDifferences checks that the page shows requests per second, and the latency of
// the last minute and not of all time.
func TestRatesAreDifferences(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#rate-note", "second reading")
	s.change(func() {
		figures := s.caches[0]["figures"].(object)
		figures["requests"] = object{"get": object{"local": 48000, "store": 1500, "absent": 500, "unavailable": 40000}, "post": object{"created": 3000}}
		figures["fetches"] = object{
			"calls": 110, "errors": object{},
			"duration": object{"bounds": []float64{.001, .01, .1}, "counts": []int{98, 0, 12, 0}, "sum": 0.7},
			"size":     object{"bounds": []float64{1, 4, 16}, "counts": []int{50, 50, 10, 0}, "sum": 330},
		}
	})
	p.untilText("#batch", "8 keys – writes")
	p.untilText("#latency", "p50 55.0 ms")
	p.untilText("#latency-note", "10 store calls in")
	// Two seconds and the time of a request are between two readings.
	var all, failed float64
	if _, err := fmt.Sscanf(strings.ReplaceAll(p.text("#rate"), ",", ""), "%f/s", &all); err != nil {
		t.Fatal(err)
	}
	note := strings.ReplaceAll(p.text("#rate-note"), ",", "")
	if _, err := fmt.Sscanf(note[strings.LastIndex(note, "writes")+len("writes"):], "%f/s failed", &failed); err != nil {
		t.Fatalf("%s: %v", note, err)
	}
	if all < 4000 || all > 40000 || failed < 2000 || failed > 20000 {
		t.Errorf("80000 requests within seconds, half of them failed, are %q, %q", p.text("#rate"), note)
	}
}

func TestCurvesHaveAllPointsAndGaps(t *testing.T) {
	p := open(t, setUp(t).url)
	p.until("document.querySelectorAll('#chart-ratio polyline').length === 4") // two series in two parts
	points := eval[[]int](p, `[...document.querySelectorAll('#chart-ratio polyline')].map((l) => l.points.length)`)
	if !slices.Equal(points, []int{48, 60, 48, 60}) && !slices.Equal(points, []int{60, 48, 60, 48}) {
		t.Errorf("the hit ratio has lines of %v points: without GETs there is none", points)
	}
	heights := eval[[]float64](p, `[...document.querySelector('#chart-ratio polyline.local').points].map((q) => q.y)`)
	// 168 high, from 10 below the top to 22 above the end: 90 % lies here.
	if want := 10 + (168-10-22)*0.1; heights[0] < want-0.2 || heights[0] > want+0.2 {
		t.Errorf("90 %% lies at %v, want %v", heights[0], want)
	}
	if n := eval[int](p, `document.querySelectorAll('#chart-gets polygon.area').length`); n < 3 {
		t.Errorf("there are %d areas", n)
	}

	p.do(clickOn("#history-details summary"))
	p.until("document.getElementById('history').tBodies[0].rows.length === 120")
}

func TestSeveralCaches(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		other := s.cache("other.22222222", "other")
		other["store_state"].(object)["keys"] = 77
		s.caches = append(s.caches, other)
	})
	p := open(t, s.url)
	p.untilText("#keys", "9,000")
	p.do(clickOn("#cache")) // opens the list; the keyboard chooses
	p.press("other")
	p.press("\r")
	p.untilText("#keys", "77")
	if title := eval[string](p, "document.title"); title != "other · redis_proxy" {
		t.Errorf("the title is %q", title)
	}
	p.do(reload())
	p.untilText("#keys", "77")

	s.change(func() { s.caches = s.caches[:1] })
	p.expect("404")
	p.untilText("#keys", "9,000") // the other cache is gone from the configuration
	s.change(func() { s.caches = []object{} })
	p.untilText("#banner", "No cache is configured.")
}
