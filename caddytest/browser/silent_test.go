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
	p.untilText("#banner", "The connection failed. The page shows its state at")
	p.untilText("#announce", "No answer from the server since")
	p.untilText("#state", "✕ No answer from the server")
	p.untilText("#updated", "Trying again in")
	if got := p.text("#keys"); !strings.HasPrefix(got, "9,000") {
		t.Errorf("what was known is gone: %q", got)
	}

	// The pauses between its requests grow.
	p.untilText("#updated", "Trying again in 4 s")
	s.change(func() { s.broken = false })
	before := p.looks()
	p.do(clickOn("#retry"))
	p.until("document.getElementById('banner').hidden")
	p.untilText("#announce", "The server answers again.")
	if asked := p.looks() - before; asked != 1 {
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
	p.untilText("#found", "No answer from the server. It is not known whether k exists: the connection failed.")
}

// TestHiddenPageAsksNothing hides the page, as another tab in front of it does.
func TestHiddenPageAsksNothing(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#valued", "product")
	hide := func(hidden string) {
		eval[bool](p, `Object.defineProperty(document, 'hidden', {value: `+hidden+`, configurable: true}) && document.dispatchEvent(new Event('visibilitychange'))`)
	}
	hide("true")
	// Once a later request is answered, so are all earlier ones.
	eval[int](p, "fetch('caches').then((r) => r.status)")
	before := p.looks()
	p.pass(60_000)
	if asked := p.looks() - before; asked > 0 {
		t.Errorf("it asked %d times while nobody looked", asked)
	}
	s.change(func() { s.caches[0]["store_state"].(object)["keys"] = 1234 })
	hide("false")
	p.untilText("#keys", "1,234")
}

func TestLargeValuesAreCut(t *testing.T) {
	s := setUp(t)
	const entry = `{"key":"k","rank":1,"age":1,"bytes":70001,"local":null,"cut":true,`
	s.change(func() {
		s.entries["text"] = entry + `"type":"string","value_bytes":70000,"value":"` + strings.Repeat("t", 65536) + `"}`
		s.entries["json"] = entry + `"type":"json","value_bytes":70000,"text":"[` + strings.Repeat("1,", 32767) + `"}`
		s.entries["raw"] = entry + `"type":"raw","content_type":"image/png","value_bytes":6000,"base64":"` + strings.Repeat("AAAA", 2000) + `"}`
	})
	p := open(t, s.url)
	p.untilText("#valued", "product")
	for key, want := range map[string]string{
		"text": "Value, text: the first 64 KiB of 68.4 KiB",
		"json": "Value, JSON: the first 64 KiB of 68.4 KiB",
		"raw":  "Value, bytes in base64: the first 3 KiB of 5.86 KiB",
	} {
		eval[bool](p, "document.getElementById('key').select() ?? true")
		p.press(key + "\r")
		p.untilText("#found", want)
	}
	s.change(func() {
		if len(s.asked) != 3 || s.asked[0] != "value_limit=65536" {
			t.Errorf("it asked with %q", s.asked)
		}
	})
}

// A key may be longer than the default of max_key_size.
func TestLongKeysAreLookedUp(t *testing.T) {
	s := setUp(t)
	key := strings.Repeat("k", 2000)
	s.change(func() {
		s.entries[key] = `{"key":"k","rank":1,"age":1,"bytes":1,"type":"json","value_bytes":1,"cut":false,"value":7,"local":null}`
	})
	p := open(t, s.url)
	p.untilText("#valued", "product")
	p.press("/")
	p.paste(key)
	p.press("\r")
	p.untilText("#found", "Found k")
}

func TestAnAddressThatCannotBeDecodedNamesNoCache(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url+"#%zz")
	p.untilText("#keys", "9,000")
	s.change(func() { s.caches[0]["store_state"].(object)["keys"] = 1234 })
	p.untilText("#keys", "1,234")
}

// TestAnswersThatCannotBeShown has answers of another version, or of a proxy. The page says
// so, keeps its last state, and continues to ask.
func TestAnswersThatCannotBeShown(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#keys", "9,000")
	good := s.caches[0]
	s.change(func() { s.caches[0] = object{"id": "cache.11111111"} })
	p.untilText("#banner", "This page does not understand the answer")
	p.untilText("#banner", "The page shows its state at")
	if got := p.text("#keys"); !strings.HasPrefix(got, "9,000") {
		t.Errorf("what was known is gone: %q", got)
	}
	s.change(func() {
		s.caches[0] = good
		good["store_state"].(object)["keys"] = 1234
	})
	p.untilText("#keys", "1,234")
	p.until("document.getElementById('banner').hidden")

	s.change(func() { s.entries["odd"] = "no JSON" })
	p.press("/odd\r")
	p.untilText("#found", "It is not known whether odd exists: this page does not understand the answer.")
}

func TestSubscriptionIsShownAsItIs(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#nodes-note", "This node learns of other nodes' writes at once.")
	subscription := s.caches[0]["subscription"].(object)
	s.change(func() { subscription["count"] = 5 })
	p.untilText("#state", "5 nodes subscribed")
	p.untilText("#nodes-note", "5 are subscribed in all; Redis does not name the others.")
	s.change(func() { subscription["nodes"] = []object{} })
	p.untilText("#nodes-note", "5 are subscribed in all; Redis does not name them.")
	s.change(func() { subscription["subscribed"], subscription["count"] = false, 0 })
	p.untilText("#state", "Not subscribed: local answers last 1.5s or less")
	p.untilText("#nodes-note", "This node is not subscribed and not listed. It keeps local entries for 1.5s at most.")
}
