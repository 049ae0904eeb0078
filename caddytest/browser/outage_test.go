package browser

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// The banner says what still answers under the settings in force.
func TestTheBannerOfAnOutageSaysWhatStillAnswers(t *testing.T) {
	const clock = `\d\d:\d\d:\d\d`
	for name, c := range map[string]struct {
		settings     object
		isSubscribed bool
		want         string
	}{
		"subscribed": {
			object{"local_ttl": "30s", "unsubscribed_ttl": "1s", "stale_if_error": "0s"},
			true,
			`Local entries still answer reads \(at least those without no-cache\) for 30 s after they were read from the store \(local_ttl\): until ` + clock + ` at most\. All other reads, and all writes, get 503\.`,
		},
		"not subscribed": {
			object{"local_ttl": "1h0m0s", "unsubscribed_ttl": "10m0s", "stale_if_error": "0s"},
			false,
			`Local entries still answer reads \(at least those without no-cache\) for 10 min after they were read from the store \(unsubscribed_ttl\): until ` + clock + ` at most\.`,
		},
		"not subscribed, with a short local_ttl": {
			object{"local_ttl": "5m0s", "unsubscribed_ttl": "10m0s", "stale_if_error": "0s"},
			false,
			`Local entries still answer reads \(at least those without no-cache\) for 5 min after they were read from the store \(local_ttl\): until`,
		},
		"with stale_if_error": {
			object{"local_ttl": "1m30s", "unsubscribed_ttl": "1s", "stale_if_error": "1h0m0s"},
			false,
			`Local entries still answer reads \(at least those without no-cache\) for 1 h 1 min after they were read from the store \(local_ttl and stale_if_error\): until`,
		},
		"later": {
			object{"local_ttl": "1ms", "unsubscribed_ttl": "1s", "stale_if_error": "0s"},
			false,
			`Local entries answered reads until ` + clock + ` at most \(local_ttl\)\. Reads and writes get 503\.`,
		},
		"without a local tier": {
			object{"local_ttl": "0s", "unsubscribed_ttl": "1s", "stale_if_error": "0s"},
			true,
			`^Reads and writes get 503\.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := setUp(t)
			p := open(t, s.url)
			p.untilText("#valued", "product")
			change := func(works bool) {
				s.change(func() {
					s.caches[0]["settings"] = c.settings
					s.caches[0]["subscription"] = object{"subscribed": c.isSubscribed, "count": 0, "nodes": []object{}}
					state := s.caches[0]["store_state"].(object)
					state["reachable"], state["ready"], state["writes"] = works, works, works
				})
			}
			change(false)
			p.untilText("#state", "Redis is down")
			// On a busy machine the page may have asked late.
			for range 5 {
				if !strings.Contains(p.text("#banner-title"), "or earlier") {
					break
				}
				change(true)
				p.untilText("#state", "Redis answers")
				change(false)
				p.untilText("#state", "Redis is down")
			}
			if name == "later" {
				p.untilText("#banner-text", "Local entries answered")
			}
			if got := p.text("#banner-title"); !regexp.MustCompile(`^Redis has been down since ` + clock + `\.$`).MatchString(got) {
				t.Error(got)
			}
			if got := p.text("#banner-text"); !regexp.MustCompile(c.want).MatchString(got) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// The page says no more than it knows: when it was asked last, which partitions fail, and
// whether they take writes.
func TestTheBannerOfAnOutageClaimsNoMoreThanThePageKnows(t *testing.T) {
	s := setUp(t)
	state := s.caches[0]["store_state"].(object)
	set := func(reachable, ready, writes bool) {
		s.change(func() { state["reachable"], state["ready"], state["writes"] = reachable, ready, writes })
	}
	set(false, false, false)
	p := open(t, s.url)
	p.untilText("#banner-title", "or earlier.")
	p.untilText("#banner-text", "Local entries may still answer reads")

	set(true, false, true)
	p.untilText("#banner-title", "Redis has refused reads since")
	p.untilText("#banner-text", "All other reads get 503; writes go on.")

	set(true, true, true)
	p.untilText("#state", "Redis answers")
	eval[bool](p, `Object.defineProperty(document, 'hidden', {value: true, configurable: true}) && document.dispatchEvent(new Event('visibilitychange'))`)
	p.pass(60_000)
	set(false, false, false)
	eval[bool](p, `Object.defineProperty(document, 'hidden', {value: false, configurable: true}) && document.dispatchEvent(new Event('visibilitychange'))`)
	p.untilText("#banner-title", "Redis has been down since")
	if got := p.text("#banner-title"); !strings.HasSuffix(got, "or earlier.") {
		t.Errorf("after it was hidden: %s", got)
	}
}

// Who comes to the page in an outage learns when it began, from the node's subscription.
func TestTheBannerSaysSinceWhenTheStoreIsSilent(t *testing.T) {
	s := setUp(t)
	const hours = 2
	silent := object{"subscribed": false, "silent_seconds": hours * 3600, "count": 0, "nodes": []object{}}
	s.change(func() {
		state := s.caches[0]["store_state"].(object)
		state["reachable"], state["ready"], state["writes"] = false, false, false
		s.caches[0]["subscription"] = silent
	})
	p := open(t, s.url)
	p.untilText("#banner-title", "Redis has been down since")
	title := p.text("#banner-title")
	clock := regexp.MustCompile(`(\d\d:\d\d:\d\d)\.$`).FindStringSubmatch(title)
	if clock == nil {
		t.Fatal(title)
	}
	shown, _ := time.Parse(time.TimeOnly, clock[1])
	now, _ := time.Parse(time.TimeOnly, eval[string](p, `new Date().toTimeString().slice(0, 8)`))
	if ago := (now.Sub(shown) + 24*time.Hour) % (24 * time.Hour); ago.Truncate(time.Hour) != hours*time.Hour {
		t.Errorf("%s; that is %s ago, want %d hours", title, ago, hours)
	}

	s.change(func() { s.caches[0]["store_state"].(object)["reachable"] = true })
	p.untilText("#banner-title", "Redis has refused reads since")
	if got := p.text("#banner-title"); !strings.HasSuffix(got, "or earlier.") {
		t.Errorf("a store that answers was not silent: %s", got)
	}
}

func TestAnOutageOfAllPartitionsDidNotBeginWithThatOfOne(t *testing.T) {
	s := setUp(t)
	all := partitionsOf(3)
	fail := func(partitions ...int) {
		s.change(func() {
			state := s.caches[0]["store_state"].(object)
			state["reachable"], state["ready"], state["writes"] = false, false, false
			for _, i := range partitions {
				all[i]["ready"], all[i]["writes"] = false, false
			}
		})
	}
	s.change(func() { s.caches[0]["partitions"] = all })
	p := open(t, s.url)
	p.untilText("#valued", "product")
	fail(0)
	p.untilText("#banner-title", "1 of 3 partitions has failed since")
	p.untilText("#banner-text", "The other partitions work as usual.")
	since := func() string { return regexp.MustCompile(`\d\d:\d\d:\d\d`).FindString(p.text("#banner-title")) }
	for _, next := range []struct {
		failing []int
		want    string
	}{
		{[]int{1}, "2 of 3 partitions have failed since"},
		{[]int{2}, "Redis has been down since"},
	} {
		before := since()
		fail(next.failing...)
		p.untilText("#banner-title", next.want)
		if since() == before {
			t.Errorf("%s keeps the time of the smaller outage", p.text("#banner-title"))
		}
	}
}
