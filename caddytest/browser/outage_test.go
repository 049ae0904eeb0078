package browser

import (
	"regexp"
	"testing"
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
			`Local entries still answer reads for 30 s after they were read from the store \(local_ttl\): until ` + clock + `\. All other reads, and all writes, get 503\.`,
		},
		"not subscribed": {
			object{"local_ttl": "1h0m0s", "unsubscribed_ttl": "10m0s", "stale_if_error": "0s"},
			false,
			`Local entries still answer reads for 10 min after they were read from the store \(unsubscribed_ttl\): until ` + clock + `\.`,
		},
		"not subscribed, with a short local_ttl": {
			object{"local_ttl": "5m0s", "unsubscribed_ttl": "10m0s", "stale_if_error": "0s"},
			false,
			`Local entries still answer reads for 5 min after they were read from the store \(local_ttl\): until`,
		},
		"with stale_if_error": {
			object{"local_ttl": "1m30s", "unsubscribed_ttl": "1s", "stale_if_error": "1h0m0s"},
			false,
			`Local entries still answer reads for 1 h 1 min after they were read from the store \(local_ttl and stale_if_error\): until`,
		},
		"later": {
			object{"local_ttl": "1ms", "unsubscribed_ttl": "1s", "stale_if_error": "0s"},
			false,
			`Local entries answered reads until ` + clock + ` \(local_ttl\)\. Reads and writes get 503\.`,
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
			s.change(func() {
				s.caches[0]["settings"] = c.settings
				s.caches[0]["subscription"] = object{"subscribed": c.isSubscribed, "count": 0, "nodes": []object{}}
				state := s.caches[0]["store_state"].(object)
				state["reachable"], state["ready"], state["writes"] = false, false, false
			})
			p.untilText("#state", "Redis is down")
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
