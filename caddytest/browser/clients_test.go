package browser

import (
	"net/http"
	"os"
	"regexp"
	"testing"
)

// The script for browsers in docs/clients.md drops what has changed.
func TestTheScriptForBrowsersDropsWhatHasChanged(t *testing.T) {
	text, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```js file=held.js\n(.*?)```").FindSubmatch(text)
	if script == nil {
		t.Fatal("docs/clients.md has no held.js")
	}
	s := serve(t, listenedSite("embedded", ""))
	p := open(t, s.url+"/page", func(p *page) {
		p.mayAsk = s.url
		p.expect("net::ERR_", "EventSource")
	})
	if !eval[bool](p, string(script[1])+`
		for (const key of ['price/1', 'price/2', 'other']) held.set(key, 1)
		new Promise((ready) => changes.addEventListener('open', () => ready(true)))`) {
		t.Fatal("it does not listen")
	}
	s.create("other", "1")
	s.create("price/1", "1")
	p.until("!held.has('price/1')")
	if !eval[bool](p, "held.has('price/2') && held.has('other')") {
		t.Error("it dropped too much")
	}
	eval[bool](p, "held.set('price/1', 2).size > 0")
	if resp, body := s.do("DELETE", "/cache/price/1", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	p.until("!held.has('price/1')")
	if !eval[bool](p, "changes.dispatchEvent(new MessageEvent('reset', {data: '{}'})); held.size == 0") {
		t.Error("a reset dropped too little")
	}
}
