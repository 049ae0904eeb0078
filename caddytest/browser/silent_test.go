package browser

import (
	"strings"
	"testing"
)

func TestServerThatDoesNotAnswer(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#valued", "product")
	p.expect("ERR_", "Failed to load resource")
	s.change(func() { s.broken = true })
	p.untilText("#banner", "No answer from the server since")
	p.untilText("#banner", "The connection failed. What is shown is from")
	p.untilText("#announce", "No answer from the server since")
	p.untilText("#state", "✕ No answer from the server")
	p.untilText("#updated", "Trying again in")
	if got := p.text("#keys"); !strings.HasPrefix(got, "9,000") {
		t.Errorf("what was known is gone: %q", got)
	}

	// It asks less and less often.
	p.untilText("#updated", "Trying again in 4 s")
	s.change(func() { s.broken = false })
	before := p.count("/caches/cache.11111111")
	p.do(clickOn("#retry"))
	p.until("document.getElementById('banner').hidden")
	p.untilText("#announce", "The server answers again.")
	if asked := p.count("/caches/cache.11111111") - before; asked != 1 {
		t.Errorf("it asked %d times", asked)
	}
}

func TestLookUpOfASilentServer(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#valued", "product")
	p.expect("ERR_", "Failed to load resource")
	s.change(func() { s.broken = true })
	p.press("/k\r")
	p.untilText("#found", "No answer from the server. Whether k exists is not known: the connection failed.")
}

// TestHiddenPageAsksNothing hides the page as another tab in front of it does.
func TestHiddenPageAsksNothing(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#valued", "product")
	hide := func(hidden string) {
		eval[bool](p, `Object.defineProperty(document, 'hidden', {value: `+hidden+`, configurable: true}) && document.dispatchEvent(new Event('visibilitychange'))`)
	}
	hide("true")
	// What was being asked has been answered when a later question is.
	eval[int](p, "fetch('caches').then((r) => r.status)")
	before := p.count("/caches/cache.11111111")
	p.pass(60_000)
	if asked := p.count("/caches/cache.11111111") - before; asked > 0 {
		t.Errorf("it asked %d times while nobody looked", asked)
	}
	s.change(func() { s.caches[0]["store_state"].(object)["keys"] = 1234 })
	hide("false")
	p.untilText("#keys", "1,234")
}

func TestLargeValuesAreCut(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		s.entries["text"] = `{"key":"text","rank":1,"age":1,"bytes":70000,"type":"string","value":"` + strings.Repeat("t", 70000) + `","local":null}`
		s.entries["raw"] = `{"key":"raw","rank":1,"age":1,"bytes":6000,"type":"raw","content_type":"image/png","base64":"` + strings.Repeat("AAAA", 2000) + `","local":null}`
	})
	p := open(t, s.url)
	p.untilText("#valued", "product")
	for key, want := range map[string]string{
		"text": "Value, text: the first 65,536 of 70,000 characters",
		"raw":  "Value, bytes in base64: the first 3 KiB of 5.86 KiB",
	} {
		eval[bool](p, "document.getElementById('key').select() ?? true")
		p.press(key + "\r")
		p.untilText("#found", want)
	}
}
