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
	site := listenedSite("embedded", "")
	s := serve(t, site)
	p := open(t, s.url+"/page", func(p *page) {
		p.mayAsk = s.url
		p.expect("net::ERR_", "EventSource", "502")
	})
	eval[bool](p, `
		const sources = []
		window.EventSource = class extends EventSource {
			constructor(...all) { super(...all); sources.push(this) }
		}
		const isOpen = () => sources.at(-1).readyState === EventSource.OPEN
		const hold = (...keys) => keys.every((key) => held.set(key, 1))
		true`)
	eval[bool](p, string(script[1])+"\ntrue")
	p.until("isOpen()")
	eval[bool](p, "hold('price/1', 'price/2', 'other')")
	s.create("other", "1")
	s.create("price/1", "1")
	p.until("!held.has('price/1')")
	if !eval[bool](p, "held.has('price/2') && held.has('other')") {
		t.Error("it dropped too much")
	}
	eval[bool](p, "hold('price/1')")
	if resp, body := s.do("DELETE", "/cache/price/1", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	p.until("!held.has('price/1')")
	if !eval[bool](p, "sources[0].dispatchEvent(new MessageEvent('reset', {data: '{}'})) && held.size === 0") {
		t.Error("a reset dropped too little")
	}

	// A proxy in front answers 502 for a while, and a value changes meanwhile.
	eval[bool](p, "hold('price/3')")
	s.reload("@watch query watch=*\nrespond @watch 502\n" + site)
	p.until("sources[0].readyState === EventSource.CLOSED")
	if !eval[bool](p, "held.size === 0") {
		t.Error("it holds values of which nobody tells it any more")
	}
	eval[bool](p, "hold('price/3')")
	s.create("price/3", "1")
	s.reload(site)
	p.until("isOpen() && held.size === 0")
	eval[bool](p, "hold('price/4')")
	s.create("price/4", "1")
	p.until("!held.has('price/4')")
}
