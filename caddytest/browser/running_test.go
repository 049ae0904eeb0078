package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// TestRunningSystem makes traffic, and checks that the page shows it.
func TestRunningSystem(t *testing.T) {
	redis := redistest.Start(t)
	s := serve(t, `
	redis_proxy_dashboard /ops/*
	redis_proxy {
		store `+redis.URL()+`
		max_keys 5
		local_ttl 1h
		unsubscribed_ttl 1h
		redis_timeout 1m
	}`)
	for i := range 5 {
		s.create(fmt.Sprintf("key/%d", i), fmt.Sprint(i))
	}
	p := open(t, s.url+"/ops/")
	p.untilText("#keys", "5 of 5")
	p.untilText("#state", "Redis answers ● Subscribed to changes ● 1 node")
	p.until("document.querySelectorAll('#chart-gets text.empty').length === 1") // without samples the chart is empty

	// A GET from the store raises the rank; a GET from the local tier does not.
	s.get("key/3", "key/3", "key/3", "key/1", "none", "nothing")
	s.create("key/5", `"new"`) // evicts key/0

	p.untilText("#evictions", "key/0")
	if got := p.text("#evictions-note"); !strings.HasPrefix(got, "1 by this node's writes since start") {
		t.Error(got)
	}
	p.untilText("#next", "key/5")
	want := []string{
		"key/2 json | 0 | 3 | 6 B", "key/4 json | 0 | 1 | 6 B", "key/5 string | 0 | 0 | 8 B",
		"key/1 json | 1 | 4 | 6 B", "key/3 json | 1 | 2 | 6 B",
	}
	if got := p.rows("next"); !slices.Equal(got, want) {
		t.Errorf("evicted next are %q, want %q", got, want)
	}
	p.until("document.getElementById('valued').innerText.includes('key/5')")
	slices.Reverse(want)
	if got := p.rows("valued"); !slices.Equal(got, want) {
		t.Errorf("most valued are %q, want %q", got, want)
	}
	if nodes := p.rows("nodes"); len(nodes) != 1 || !strings.Contains(nodes[0], "this node") {
		t.Errorf("the nodes are %q", nodes)
	}

	p.until("document.querySelector('#answers tbody tr:nth-child(1) td:nth-child(2)').innerText === '2'")
	wantAnswers := []string{"Local | 2 | 33.3 % | 2", "Store | 2 | 33.3 % | 2", "Absent | 2 | 33.3 % | 2", "Stale | 0 | 0 % | 0"}
	if got := p.rows("answers"); !slices.Equal(got, wantAnswers) {
		t.Errorf("GETs are answered from %q, want %q", got, wantAnswers)
	}
	if got := p.text("#ratio"); got != "66.7 %" {
		t.Errorf("the hit ratio is %s", got)
	}
	p.until("document.querySelector('#chart-writes polyline.writes')?.points.length >= 2")
	s.get("key/3")
	p.until("document.querySelector('#chart-gets polygon.area.local') !== null")
}

func TestLookUpInARunningSystem(t *testing.T) {
	s := serve(t, `
	handle_path /ops/* {
		redis_proxy_dashboard
	}
	redis_proxy {
		methods GET POST PUT
	}`)
	s.create(hostile, `"<b onclick=harmed=1>bold</b>"`)
	s.create("deep/a b/ä?#%2F", `{"n": 12345678901234567890, "n": [1.10, {}]}`)
	s.do("POST", "/cache/bytes", "\x00\xff\x01", "Content-Type", "image/x-test")
	s.create("large", `"`+strings.Repeat("ä", 50_000)+`"`)
	// Age counts writes: this one creates nothing.
	s.do("PUT", "/cache/bytes", "\x00\xff\x01", "Content-Type", "image/x-test")
	s.get("deep%2Fa%20b%2F%C3%A4%3F%23%252F")

	p := open(t, s.url+"/ops/")
	p.untilText("#state", "Embedded store")
	p.untilText("#next", "<img src=x")
	look := func(key string) {
		t.Helper()
		eval[bool](p, "document.activeElement.blur() ?? true") // in the field, the key would be text
		p.press("/")
		p.until("document.activeElement.id === 'key'")
		p.press(key)
		p.press("\r")
		p.untilText("#found", key)
	}

	look(hostile)
	p.untilText("#found .value", "<b onclick=harmed=1>bold</b>")
	p.until("document.querySelector('#found b') === null && window.harmed === undefined && document.querySelector('main img') === null")

	look("deep/a b/ä?#%2F")
	value := eval[string](p, "document.querySelector('#found .value').textContent")
	if want := "{\n  \"n\": 12345678901234567890,\n  \"n\": [\n    1.10,\n    {}\n  ]\n}"; value != want {
		t.Errorf("the value is shown as %q, want %q", value, want)
	}
	if got := p.text("#found .pairs"); !strings.Contains(got, "Rank 1 ") || !strings.Contains(got, "Local here yes, for another") {
		t.Errorf("the entry is shown with %s", got)
	}
	look("bytes")
	if got := p.text("#found"); !strings.Contains(got, "Type image/x-test") || !strings.Contains(got, "Local here no") ||
		!strings.Contains(got, "Value, bytes in base64 AP8B") {
		t.Errorf("bytes are shown as %s", got)
	}

	look("large")
	if got := p.text("#found .pairs"); !strings.Contains(got, "Age 1 write since") || !strings.Contains(got, "Size 97.7 KiB") {
		t.Errorf("the entry is shown with %s", got)
	}
	if got := p.text("#found #value-label"); got != "Value, text: the first 64 KiB of 97.7 KiB" {
		t.Error(got)
	}
	if n := eval[int](p, "document.querySelector('#found .value').textContent.length"); n != 32768 {
		t.Errorf("%d characters are shown", n)
	}

	p.expect("404")
	look("none")
	if got := p.text("#found"); got != "Absent. No entry has the key none." {
		t.Error(got)
	}

	// The look-up from a table works too, and nothing here has raised a rank.
	p.do(clickOn("#next tbody tr:nth-child(1) button"))
	p.untilText("#found", "Found <img")
	p.until("document.activeElement.id === 'found'")
	if next := p.rows("next"); !strings.Contains(next[0], "<img src=x") || !strings.Contains(next[0], "| 0 | 4 |") {
		t.Errorf("evicted next are %q", next)
	}
}

func TestRedisDownAndBack(t *testing.T) {
	redis := redistest.Start(t)
	s := serve(t, `
	redis_proxy_dashboard /ops/*
	redis_proxy {
		store `+redis.URL()+`
		redis_timeout 1m
		local_ttl 1h
	}`)
	s.create("a", "1")
	p := open(t, s.url+"/ops/")
	p.untilText("#next", "a json")
	p.untilText("#valued", "a json")
	p.expect("503")

	redis.Kill()
	p.untilText("#banner", "Redis has been down since")
	p.untilText("#banner", "Local entries answered reads until")
	p.untilText("#banner", "(unsubscribed_ttl). Reads and writes get 503. Keys and their order below are from")
	p.untilText("#state", "✕ Redis is down")
	p.untilText("#announce", "Redis has been down since")
	p.untilText("#keys", "1 of 10,000") // the last known number, with its time
	p.untilText("#keys-note", "at ")
	p.untilText("#next-note", "At ")
	p.press("/")
	p.press("a\r")
	p.untilText("#found", "The store does not answer. It is not known whether a exists")

	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	p.until("document.getElementById('banner').hidden")
	p.untilText("#state", "● Redis answers ● Subscribed to changes")
	p.untilText("#announce", "Redis answers again.")
	p.untilText("#next", "The store holds no keys.") // this Redis keeps nothing on disk
	p.untilText("#keys", "0 of 10,000")
}

func TestOpenedWhileRedisIsDown(t *testing.T) {
	s := serve(t, `
	redis_proxy_dashboard
	redis_proxy {
		store redis://`+strings.Replace(freeAddr(t), "localhost", "127.0.0.1", 1)+`
	}`)
	p := open(t, s.url+"/")
	p.untilText("#banner", "or earlier.")
	if got := p.text("#banner-title"); !strings.HasPrefix(got, "Redis has been down since ") {
		t.Error(got)
	}
	p.untilText("#keys-note", "not known while the store is down")
	p.untilText("#next", "Not known while the store is down.")
	p.untilText("#ratio-note", "no GETs")
}
